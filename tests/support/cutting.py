"""Work that is cut off in the middle: as a test of what may be killed at any step."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any


async def is_cut(work: Coroutine[Any, Any, object], step: int) -> bool:
    """True when the work was cancelled at its wait number `step`, counted from 0; False when it ended before."""
    task = asyncio.create_task(_run(work, step))
    await asyncio.wait([task])
    if task.cancelled():
        return True
    task.result()
    return False


async def _run(work: Coroutine[Any, Any, object], step: int) -> None:
    await _cut(work, step)


@types.coroutine
def _cut(work: Coroutine[Any, Any, object], step: int) -> Generator[Any, Any, None]:
    """Drives the work by hand, from one wait to the next."""
    task, waits = asyncio.current_task(), 0
    error: BaseException | None = None
    while True:
        try:
            waited = work.send(None) if error is None else work.throw(error)
        except StopIteration:
            return
        if waits == step and task is not None:
            task.cancel()  # what is waited for is cancelled, too
        waits, error = waits + 1, None
        try:
            yield waited
        except BaseException as thrown:  # noqa: BLE001 — handed on to the work
            error = thrown
