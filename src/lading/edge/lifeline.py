"""Children die with their parent, however it dies (Linux; elsewhere they end when they notice)."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """From now on the kernel sends this process `number` when its parent dies."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() == 1:  # it died before we could ask
        os.kill(os.getpid(), number)
