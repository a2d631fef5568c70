"""Importing pycolmap without its signal handlers: it would answer SIGTERM with a stack trace in place of an orderly end."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
from collections.abc import Iterator
from typing import Any

_SIGACTION_BYTES = 512  # larger than any platform's struct sigaction
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


def import_pycolmap() -> Any:
    """The module pycolmap; the process's signal handlers stay as they were, whichever thread calls."""
    if "pycolmap" in sys.modules:
        return sys.modules["pycolmap"]
    with signal_handlers_kept():
        import pycolmap
    return pycolmap


@contextlib.contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Put back at the end what C libraries did to signal handlers inside; Python's own functions can do that on the main thread only."""
    if not sys.platform.startswith("linux"):
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    saved = {}
    for number in _SIGNALS:
        buffer = ctypes.create_string_buffer(_SIGACTION_BYTES)
        if libc.sigaction(int(number), None, buffer) == 0:
            saved[number] = buffer
    try:
        yield
    finally:
        for number, buffer in saved.items():
            libc.sigaction(int(number), buffer, None)
