"""Large buffers are returned to the system when they are freed, in every thread."""

import subprocess
import sys

PROGRAM = """
import threading
from reconcile.runtime.process import release_large_buffers

def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096

def work():
    for _ in range(3):
        bytearray(8 << 20)

release_large_buffers()
before = resident()
for _ in range(4):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(resident() - before)
"""


def test_threads_keep_no_buffers_that_they_have_freed():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 4 << 20
