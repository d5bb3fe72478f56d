"""Several actors on one store in memory; only one at a time makes one request."""

import threading


class CrashError(BaseException):
    """The actor is killed: it sends no further request."""


class Turns:
    """Lets actors make one request at a time, in the order that a test chooses."""

    def __init__(self):
        self._changed = threading.Condition()
        self._waiting = {}
        self._ended = set()
        self._dead = set()

    def start(self, name, work):
        """Start an actor; it waits before its first request."""
        self._ended.discard(name)
        self._dead.discard(name)
        self._waiting[name] = 0

        def run():
            try:
                work()
            except CrashError:
                pass
            finally:
                with self._changed:
                    self._ended.add(name)
                    self._changed.notify_all()

        threading.Thread(target=run, daemon=True).start()
        self._settle(name)

    def pause(self, name):
        """Called by an actor's store before each request."""
        with self._changed:
            self._check(name)
            self._waiting[name] += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting[name] <= 0 or name in self._dead)
            self._check(name)

    def step(self, name):
        """Let an actor make one request; returns whether it has not ended then."""
        with self._changed:
            if name in self._ended:
                return False
            self._waiting[name] = 0
            self._changed.notify_all()
        return self._settle(name)

    def finish(self, name):
        while self.step(name):
            pass

    def kill(self, name):
        with self._changed:
            self._dead.add(name)
            self._changed.notify_all()
            self._changed.wait_for(lambda: name in self._ended, timeout=60)

    def _check(self, name):
        if name in self._dead:
            raise CrashError

    def _settle(self, name):
        with self._changed:
            done = self._changed.wait_for(
                lambda: self._waiting[name] > 0 or name in self._ended, timeout=60
            )
            assert done, f"{name} hangs"
            return name not in self._ended


class TurnStore:
    """One actor's view of a store."""

    def __init__(self, inner, turns, name):
        self._inner = inner
        self._turns = turns
        self._name = name

    def __getattr__(self, method):
        work = getattr(self._inner, method)

        def call(*arguments):
            self._turns.pause(self._name)
            result = work(*arguments)
            return iter(list(result)) if method == "list" else result

        return call
