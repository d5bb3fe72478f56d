"""Git repositories for tests, untouched by whatever the machine configures."""

import os
import subprocess
from pathlib import Path

WHO = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false")


class Repository:
    """A repository with a folder `desired`."""

    def __init__(self, top: Path, *options: str) -> None:
        self.top = top
        self.desired = top / "desired"
        self.desired.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", *options)

    def git(self, *arguments: str) -> str:
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
        }
        command = ["git", *WHO, "-c", "safe.directory=*", "-C", str(self.top), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
        return done.stdout.strip()

    def commit(self, message: str = "change") -> str:
        """Commit all that is there; returns the commit."""
        self.git("add", "--all", "--force", ".")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")
