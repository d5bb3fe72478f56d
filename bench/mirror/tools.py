"""The commands of each tool; the complete process is measured."""

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
"""Otherwise s5cmd and aws follow the links of W2 that lead upwards, about forty times."""

OURS = Path(sys.executable).parent / "reconcile-mirror"


@dataclass(frozen=True, slots=True)
class Place:
    """The inputs of one tool: a server, a bucket, a folder for its configuration and cache."""

    server: S3Server
    bucket: str
    notes: Path

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables that S3 tools read."""
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
    """One command and its accepted exit codes; some tools exit with 1 if they skip files."""

    command: Sequence[str]
    codes: Sequence[int] = (0,)
    env: Mapping[str, str] = field(default_factory=dict)


class Tool(Protocol):
    """A tool that uploads a tree to S3 and downloads it again."""

    @property
    def name(self) -> str:
        """Its name in the table."""
        ...

    @property
    def takes_hard_names(self) -> bool:
        """Whether it can read the names below `odd` in W2."""
        ...

    def prepare(self, place: Place, tree: Path) -> list[Step]:
        """Return the steps before the first upload, which are not measured."""
        ...

    def up(self, place: Place, tree: Path) -> Step:
        """Return the step that uploads the tree."""
        ...

    def down(self, place: Place, into: Path) -> Step:
        """Return the step that downloads it into an empty folder."""
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
    """rclone, with its defaults or with flags."""

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
    """s5cmd with its defaults, except for symbolic links."""

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
    """The AWS command line with its defaults, except for symbolic links."""

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
    """restic with its defaults."""

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
    """Return all tools, ours first; 16 transfers were the fastest on two cores."""
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
    """Return the folder below `into` with the restored tree; restic restores the full path."""
    return Path(f"{into}{os.path.abspath(tree)}") if isinstance(tool, Restic) else into  # noqa: PTH100
