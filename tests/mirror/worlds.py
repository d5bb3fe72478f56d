"""What tests of the mirror share: a clock that they move, and a script of what goes wrong."""

from reconcile.mirror.errors import PreconditionError, StoreAwayError


class FakeClock:
    """Time that moves only by waits."""

    def __init__(self, start=1_000.0):
        self.seconds = start
        self.waits = []
        self.during = lambda: None

    def monotonic(self):
        return self.seconds

    def time_ns(self):
        return int(self.seconds * 1e9)

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.seconds += seconds
        self.during()

    def jitter(self):
        return 0.5


class Script:
    """Faults for a MemoryBucket, used up one by one; each is for one method and one moment."""

    def __init__(self):
        self.left = []
        self._always = []
        self._busy = False

    def lose_before(self, method, times=1):
        """The request does not arrive."""
        self.left += [(method, False, lambda: StoreAwayError("no answer"))] * times

    def lose_after(self, method, times=1):
        """The request is carried out, and the answer lost."""
        self.left += [(method, True, lambda: StoreAwayError("no answer"))] * times

    def refuse(self, method, times=1):
        self.fail(method, PreconditionError("refused"), times)

    def fail(self, method, error, times=1):
        self.left += [(method, False, lambda: error)] * times

    def before(self, method, deed):
        """Something else happens just before the request arrives."""
        self.left.append((method, False, deed))

    def always_before(self, method, deed):
        self._always.append((method, deed))

    def fault(self, request):
        if self._busy:
            return None
        for method, deed in self._always:
            if method == request.method and not request.done:
                self._do(deed)
        for item in self.left:
            if item[:2] == (request.method, request.done):
                self.left.remove(item)
                return self._do(item[2])
        return None

    def _do(self, deed):
        self._busy = True
        try:
            result = deed()
        finally:
            self._busy = False
        return result if isinstance(result, Exception) else None
