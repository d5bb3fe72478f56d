"""A worker process of a restore that is a thread: pytest has threads, and cannot be forked."""

import contextlib
import socket
import sys
import threading
from types import SimpleNamespace

from reconcile.mirror.restore import worker
from reconcile.mirror.restore.worker import Channel, ForkedWorker, run_worker


class EndingThread(threading.Thread):
    """A thread that ends where the worker process would end."""

    def run(self):
        with contextlib.suppress(SystemExit):
            super().run()


class WorkerThreads:
    """Starts workers as threads of this process; `close` ends them all."""

    def __init__(self, monkeypatch):
        self._channels, self._threads = [], []
        fakes = {
            "os": SimpleNamespace(_exit=sys.exit, waitpid=self._ignore),
            "signal": SimpleNamespace(signal=self._ignore, SIGINT=None, SIG_IGN=None),
            "threading": SimpleNamespace(Thread=self._make_thread),
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(worker, name, fake)

    def start(self, concurrency, make_runner, _policy=None):
        """Start a worker that every restore uses; stands in for `fork_worker`."""
        pairs = [socket.socketpair() for _ in range(concurrency + 1)]
        near, far = ([Channel(end) for end in ends] for ends in zip(*pairs, strict=True))
        self._channels += [*near, *far]
        self._make_thread(target=run_worker, args=(far, make_runner), daemon=True).start()
        return ForkedWorker(0, near, range(1, sys.maxsize))

    def close(self):
        for channel in self._channels:
            channel.close()
        for thread in self._threads:
            thread.join()
        for channel in self._channels:
            channel._incoming.close()

    def _make_thread(self, **options):
        thread = EndingThread(**options)
        self._threads.append(thread)
        return thread

    def _ignore(self, *_arguments):
        """Neither signals nor children concern a thread."""
