"""Waiting for what another process or task does."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_LONGEST_SECONDS = 60  # only a test that fails waits so long


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(_LONGEST_SECONDS):
        while not await condition():  # noqa: ASYNC110 — what is waited for is in another process
            await asyncio.sleep(0.02)


def wait_for(happens: Callable[[], object], seconds: float = _LONGEST_SECONDS) -> None:
    """Returns when it happens. Errors: AssertionError when it does not in time."""
    limit = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.02)
