"""Asks a running sync what it says of itself."""

import http.client

from reconcile.mirror.errors import WorkspaceError

_PATIENCE = 5.0


def ask_status(host: str, port: int) -> str:
    """Return the JSON of /status; WorkspaceError where no sync answers."""
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().read().decode().strip()
    except (OSError, http.client.HTTPException) as error:
        raise WorkspaceError(f"no sync answers on {host}:{port}: {error}") from error
    finally:
        connection.close()
