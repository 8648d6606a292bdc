"""Children die with their parent, however it dies (Linux; elsewhere they end when they notice)."""

import ctypes
import multiprocessing
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: between fork and exec it may not be


def die_with_parent(parent: int | None = None, number: signal.Signals = signal.SIGTERM) -> None:
    """From now on the kernel sends this process `number` when its parent dies.

    `parent` is its id, so that one who died before we could ask is noticed; None where multiprocessing knows it, or nobody.
    """
    if _LIBC is None:
        return
    known = multiprocessing.parent_process()
    if parent is None and known is not None:
        parent = known.pid
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(number))
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)
