"""A bucket on a server, and the program on the command line."""

import pytest

from reconcile.mirror.cli.main import run_mirror_cli
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.store.s3 import S3Store
from reconcile.runtime.clock import SystemClock
from reconcile.runtime.settings import ProcessSettings
from tests.mirror.history.gc_world import GcWorld
from tests.mirror.mirror_pod import MirrorPod
from tests.s3 import buckets


class CommandLine:
    """Runs commands against one bucket; `output` and `errors` are those of the last one."""

    def __init__(self, server, folder, capsys):
        self.server = server
        self.bucket = buckets.fresh(server)
        self.secret = folder / "secret"
        self.folder = folder
        self._capsys = capsys
        self.output = ""
        self.errors = ""
        self.secret.mkdir()
        values = {
            "STORAGE_MODE": "custom",
            "S3_ENDPOINT": server.url,
            "S3_BUCKET": self.bucket,
            "S3_ACCESS_KEY": server.keys.access_key,
            "S3_SECRET_KEY": server.keys.secret_key,
        }
        for name, value in values.items():
            (self.secret / name).write_text(value)

    def store(self, prefix="ns/s/"):
        plain = S3Store(self.server.location(self.bucket, prefix), self.server.credentials)
        return RetryingStore(plain, SystemClock(), RetryPolicy(10))

    def run(self, verb, *more):
        self._capsys.readouterr()
        options = ["--prefix=ns/s", f"--project-secret={self.secret}", "--retry-timeout=5"]
        code = run_mirror_cli(
            [verb, *options, *map(str, more)], ProcessSettings(no_color=True, environ={})
        )
        self.output, self.errors = self._capsys.readouterr()
        assert "Traceback" not in self.errors
        return code


@pytest.fixture
def cli(moto_server, tmp_path, capsys):
    return CommandLine(moto_server, tmp_path, capsys)


@pytest.fixture
def author(cli, tmp_path):
    """A pod with three generations, each with one more file."""
    pod = MirrorPod(tmp_path, "author", cli.store(), SystemClock())
    pod.hydrate()
    for number in (1, 2, 3):
        pod.write(f"docs/{number}", str(number).encode() * 100 * number)
        pod.sync()
    return pod


@pytest.fixture
def world(tmp_path):
    return GcWorld(tmp_path)
