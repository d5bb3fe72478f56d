"""Asks a server about a repository before the runner clones it.

The runner follows redirects and says no more than that a clone failed: this program finds out
first whether the repository can be read without one, by the policy and with the declared
credential.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcile.runner.clone_errors import explain_failure
from reconcile.runner.credentials import Credentials
from reconcile.runner.remote import Access, Remote, RemoteError, open_access
from reconcile.runtime.git import RemoteGit
from reconcile.runtime.settings import read_process_settings

_SECONDS: Final = 60.0
_HEAD: Final = re.compile(r"^ref: refs/heads/(\S+)\tHEAD$", re.MULTILINE)


class UnavailableError(RemoteError):
    """The server cannot be asked now; it may answer later."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How to ask: the declared credentials, and a folder that the agent does not see."""

    credentials: Credentials
    state: Path
    ca_file: Path | None = None

    def find_branch(self, remote: Remote, branch: str, should_stop: Callable[[], bool]) -> str:
        """Return the branch or tag to clone: `branch`, or the repository's default if it is empty.

        The default is empty if the server does not name it.

        Raises:
            RemoteError: The repository cannot be read, has no such branch, or cannot be read now
                (UnavailableError).
            OSError: The files that git needs cannot be written.
        """
        names = (f"refs/heads/{branch}", f"refs/tags/{branch}") if branch else ("HEAD",)
        with open_access(remote, self.credentials, self.ca_file, self.state) as access:
            answer = self._ask(access, names, should_stop)
        if not branch:
            found = _HEAD.search(answer)
            return found[1] if found else ""
        if not any(line.partition("\t")[2] in names for line in answer.splitlines()):
            raise RemoteError(f"it has no branch `{branch}`")
        return branch

    def _ask(self, access: Access, names: tuple[str, ...], should_stop: Callable[[], bool]) -> str:
        environ, protocol = read_process_settings().environ, access.remote.protocol
        git = RemoteGit(self.state, protocol, environ, access.config, access.ssh_command)
        deadline = time.monotonic() + _SECONDS
        result = git.run(
            *("ls-remote", "--symref", "--", access.remote.url, *names),
            find_reason_to_stop=lambda: _find_reason_to_stop(deadline, should_stop),
        )
        if not result.ok:
            failure = explain_failure(result, access, "")
            raise (UnavailableError if failure.may_pass else RemoteError)(failure.reason)
        return result.text


def _find_reason_to_stop(deadline: float, should_stop: Callable[[], bool]) -> str:
    if should_stop():
        return "it was stopped, since the pod ends"
    is_late = time.monotonic() >= deadline
    return f"the server timed out: it has not answered for {_SECONDS:g} s" if is_late else ""
