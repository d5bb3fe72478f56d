"""The steps of a long build; each prints one line with the seconds since the start."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.controlplane import processes


@dataclass(frozen=True, slots=True)
class Steps:
    """Runs the commands that build `name` in one work folder, with their output in `steps.log`."""

    work: Path
    name: str = "control plane"
    started: float = field(default_factory=time.monotonic)

    def say(self, what: str) -> None:
        """Print one line of progress to standard error."""
        sys.stderr.write(f"{self.name}: {time.monotonic() - self.started:4.0f} s  {what}\n")
        sys.stderr.flush()

    def run(
        self,
        title: str,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Print the title of one step and run it.

        Raises:
            ControlPlaneError: It failed; with its command and the end of the log.
        """
        self.say(title)
        processes.run(
            command,
            log=self.work / "steps.log",
            cwd=cwd or self.work,
            env=os.environ if env is None else env,
        )
