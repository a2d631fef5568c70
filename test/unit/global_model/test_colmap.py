"""A process that has loaded pycolmap still ends in order on SIGTERM, even when a worker thread loaded it."""

import subprocess
import sys

SCRIPT = """
import os, signal, sys, threading
def orderly(*_):
    print("orderly"); sys.stdout.flush(); os._exit(7)
signal.signal(signal.SIGTERM, orderly)
from astra.global_model.colmap import import_pycolmap
t = threading.Thread(target=import_pycolmap); t.start(); t.join()
assert import_pycolmap().__name__ == "pycolmap"
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_sigterm_reaches_the_process_own_handler():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 7 and "orderly" in done.stdout and "Aborted" not in done.stderr
