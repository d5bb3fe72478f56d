"""`python -m tests.runner.double`: serve until SIGTERM.

On SIGTERM it refuses new connections, waits until the readers of open streams have gone, gives an
open run some time, and ends by the signal (exit code 143 in a container).
"""

import argparse
import os

import uvicorn

from tests.runner.double.app import make_app
from tests.runner.double.settings import read_settings


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.runner.double", description=__doc__)
    parser.add_argument("--host", default=os.environ.get("AGUI_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("AGUI_PORT", "8001")))
    options = parser.parse_args()
    app = make_app(read_settings())
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
