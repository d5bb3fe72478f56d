"""The commands of each tool: what is measured is the whole process."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.mirror.programs import Programs
from tests.s3.access import S3Server

FAST = ("--links", "--fast-list", "--update", "--use-server-modtime")
NO_LINKS = "--no-follow-symlinks"
"""Else s5cmd and aws go round the links of W2 that lead upwards, some forty times."""

OURS = Path(sys.executable).parent / "reconcile-mirror"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one tool works: a server, a bucket, a folder for its own notes."""

    server: S3Server
    bucket: str
    notes: Path

    def environment(self) -> Mapping[str, str]:
        """Return what every tool for S3 reads."""
        return {
            "AWS_ACCESS_KEY_ID": self.server.keys.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.keys.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "HOME": str(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One command; a tool that leaves something out may say so by another exit code."""

    command: Sequence[str]
    codes: Sequence[int] = (0,)
    env: Mapping[str, str] = field(default_factory=dict)


class Tool(Protocol):
    """A way to bring a tree to S3 and back."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def takes_hard_names(self) -> bool:
        """Whether it gets past the names below `odd` in W2."""
        ...

    def prepare(self, place: Place, tree: Path) -> list[Step]:
        """Return what comes before the first upload and is not measured."""
        ...

    def up(self, place: Place, tree: Path) -> Step:
        """Return what brings the tree to S3."""
        ...

    def down(self, place: Place, into: Path) -> Step:
        """Return what brings it back into an empty folder."""
        ...


class Ours:
    """reconcile-mirror."""

    name = "reconcile-mirror"
    takes_hard_names = True

    def prepare(self, place: Place, tree: Path) -> list[Step]:
        secret = place.notes / "secret"
        secret.mkdir()
        values = {
            "STORAGE_MODE": "custom",
            "S3_ENDPOINT": place.server.url,
            "S3_BUCKET": place.bucket,
            "S3_ACCESS_KEY": place.server.keys.access_key,
            "S3_SECRET_KEY": place.server.keys.secret_key,
        }
        for name, value in values.items():
            (secret / name).write_text(value)
        return [self._step("hydrate", place, (tree, "state"), "--pod-uid=one")]

    def up(self, place: Place, tree: Path) -> Step:
        return self._step("sync", place, (tree, "state"), "--once")

    def down(self, place: Place, into: Path) -> Step:
        shutil.rmtree(place.notes / "state-down", ignore_errors=True)
        return self._step("hydrate", place, (into, "state-down"), "--pod-uid=two")

    def _step(self, verb: str, place: Place, where: tuple[Path, str], *more: str) -> Step:
        workspace, state = where
        options = (
            f"--workspace={workspace}",
            f"--state={place.notes / state}",
            "--prefix=bench/session",
            f"--project-secret={place.notes / 'secret'}",
            "--no-default-excludes",
        )
        return Step((str(OURS), verb, *options, *more))


class Rclone:
    """rclone, by its defaults or with flags."""

    takes_hard_names = True

    def __init__(self, program: Path, name: str, flags: Sequence[str] = ()) -> None:
        self._program = str(program)
        self.name = name
        self._flags = flags

    def prepare(self, place: Place, tree: Path) -> list[Step]:
        del tree
        (place.notes / "rclone.conf").write_text(
            f"[s3]\ntype = s3\nprovider = Other\nendpoint = {place.server.url}\n"
            f"access_key_id = {place.server.keys.access_key}\n"
            f"secret_access_key = {place.server.keys.secret_key}\nregion = us-east-1\n"
            "no_check_bucket = true\n"
        )
        return []

    def up(self, place: Place, tree: Path) -> Step:
        return self._step(place, str(tree), f"s3:{place.bucket}/tree")

    def down(self, place: Place, into: Path) -> Step:
        return self._step(place, f"s3:{place.bucket}/tree", str(into))

    def _step(self, place: Place, source: str, target: str) -> Step:
        config = f"--config={place.notes / 'rclone.conf'}"
        return Step((self._program, "sync", config, *self._flags, source, target), (0, 1, 9))


class S5cmd:
    """s5cmd by its defaults, but for links."""

    takes_hard_names = False

    def __init__(self, program: Path) -> None:
        self._program = str(program)
        self.name = "s5cmd"

    def prepare(self, place: Place, tree: Path) -> list[Step]:
        del place, tree
        return []

    def up(self, place: Place, tree: Path) -> Step:
        return self._step(place, f"{tree}/", f"s3://{place.bucket}/tree/")

    def down(self, place: Place, into: Path) -> Step:
        return self._step(place, f"s3://{place.bucket}/tree/*", f"{into}/")

    def _step(self, place: Place, source: str, target: str) -> Step:
        url = f"--endpoint-url={place.server.url}"
        command = (self._program, url, "--log=error", "sync", NO_LINKS, source, target)
        return Step(command, (0, 1), place.environment())


class Aws:
    """The AWS command line by its defaults, but for links."""

    takes_hard_names = False

    def __init__(self, program: Path) -> None:
        self._program = str(program)
        self.name = "aws s3 sync"

    def prepare(self, place: Place, tree: Path) -> list[Step]:
        del place, tree
        return []

    def up(self, place: Place, tree: Path) -> Step:
        return self._step(place, str(tree), f"s3://{place.bucket}/tree")

    def down(self, place: Place, into: Path) -> Step:
        return self._step(place, f"s3://{place.bucket}/tree", str(into))

    def _step(self, place: Place, source: str, target: str) -> Step:
        url = f"--endpoint-url={place.server.url}"
        command = (self._program, url, "s3", "sync", "--only-show-errors", NO_LINKS, source, target)
        return Step(command, (0, 1, 2), place.environment())


class Restic:
    """restic by its defaults."""

    takes_hard_names = True

    def __init__(self, program: Path) -> None:
        self._program = str(program)
        self.name = "restic"

    def prepare(self, place: Place, tree: Path) -> list[Step]:
        del tree
        return [self._step(place, "init")]

    def up(self, place: Place, tree: Path) -> Step:
        return self._step(place, "backup", "--quiet", str(tree))

    def down(self, place: Place, into: Path) -> Step:
        return self._step(place, "restore", "--quiet", "latest", f"--target={into}")

    def _step(self, place: Place, *arguments: str) -> Step:
        repository = f"--repo=s3:{place.server.url}/{place.bucket}/restic"
        env = {**place.environment(), "RESTIC_PASSWORD": "bench"}
        cache = f"--cache-dir={place.notes / 'cache'}"
        return Step((self._program, repository, cache, *arguments), env=env)


def tools(found: Programs) -> list[Tool]:
    """Return all of them, ours first; transfers are the best that two cores were seen to take."""
    more = ("--transfers=16", "--checkers=16")
    return [
        Ours(),
        Rclone(found.rclone, "rclone fastest", (*FAST, *more)),
        Rclone(found.rclone, "rclone"),
        S5cmd(found.s5cmd),
        Restic(found.restic),
        Aws(found.aws),
    ]


def root_of(tool: Tool, into: Path, tree: Path) -> Path:
    """Return where below `into` a tool has restored `tree`: restic keeps the whole path."""
    return Path(f"{into}{os.path.abspath(tree)}") if isinstance(tool, Restic) else into  # noqa: PTH100
