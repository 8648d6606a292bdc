"""Slowing down guesses: failures are counted per account and address, and per address, for a while, in this process.

An account is never locked for everyone: who signs in right from another address is not held up by a stranger's guesses.
"""

import math
import time

from cachetools import TTLCache

from lading.core.errors import TooManyError

_WINDOW_SECONDS = 60
_PER_PAIR = 10
_PER_ADDRESS = 100
_TRACKED = 100_000


class Throttle:
    """Counts failed sign-ins."""

    def __init__(self) -> None:
        self._failures: TTLCache[tuple[str, str], tuple[int, float]] = TTLCache(_TRACKED, _WINDOW_SECONDS)

    def check(self, name: str, address: str) -> None:
        """Returns while there are not too many failures. Errors: TooManyError."""
        for key, limit in (((name.lower(), address), _PER_PAIR), (("", address), _PER_ADDRESS)):
            count, since = self._failures.get(key, (0, 0.0))
            if count >= limit:
                wait = max(1, math.ceil(since + _WINDOW_SECONDS - time.monotonic()))
                raise TooManyError("too many failed sign-ins; wait a little", retry_after_seconds=wait)

    def failed(self, name: str, address: str) -> None:
        """One more failure."""
        for key in ((name.lower(), address), ("", address)):
            count, since = self._failures.get(key, (0, time.monotonic()))
            self._failures[key] = (count + 1, since)

    def succeeded(self, name: str, address: str) -> None:
        """The right password wipes this account's failures from this address."""
        self._failures.pop((name.lower(), address), None)
