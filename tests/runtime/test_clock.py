"""The system clock."""

import re
import threading
import time

from reconcile.runtime.clock import SystemClock
from reconcile.runtime.settings import read_process_settings


def test_time_does_not_go_back():
    clock = SystemClock()
    first = clock.monotonic()
    clock.sleep(0.001)
    assert clock.monotonic() > first


def test_the_time_of_day_is_rfc_3339_to_the_second():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", SystemClock().now())
    assert SystemClock().now()[:4] == time.strftime("%Y", time.gmtime())


def test_jitter_is_a_number_from_0_up_to_1():
    clock = SystemClock()
    drawn = [clock.jitter() for _ in range(100)]
    assert all(0 <= number < 1 for number in drawn)
    assert len(set(drawn)) > 1


def test_a_stop_ends_a_wait_that_has_begun_and_all_later_ones():
    clock = SystemClock()
    waiting = threading.Thread(target=clock.sleep, args=(3600,))
    waiting.start()
    clock.stop()
    waiting.join(30)
    assert not waiting.is_alive()
    clock.sleep(3600)


def test_the_environment_is_read_once_for_all(monkeypatch):
    monkeypatch.setenv("SOMETHING", "c4n4ry")
    found = read_process_settings()
    assert found.environ["SOMETHING"] == "c4n4ry"
    assert "c4n4ry" not in repr(found)


def test_no_color_counts_when_it_is_not_empty(monkeypatch):
    for value, expected in {"": False, "0": True, "1": True}.items():
        monkeypatch.setenv("NO_COLOR", value)
        assert read_process_settings().no_color is expected
    monkeypatch.delenv("NO_COLOR")
    assert read_process_settings().no_color is False
