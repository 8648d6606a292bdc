"""The queue, from the side of a worker: claiming jobs, keeping them, telling how they ended, taking over from the dead.

Every write names the claim's lease. Whoever lost it (stopped for too long, thought dead) can no longer write a result.
"""

import json
import random
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from lading.core.clock import Clock
from lading.database import Database
from lading.jobs import store
from lading.jobs.jobs import Claim, Status, backoff, clean_lines

LOSSES_LIMIT = 3  # a job that takes its worker down with it is not run for ever
_PAGE = 100


@dataclass(frozen=True)
class Claims:
    """The use cases of one worker."""

    database: Database
    clock: Clock
    worker_id: str
    chance: Callable[[], float] = random.random

    async def claim(
        self, actions: Collection[str], fits: Callable[[Mapping[str, int]], bool] = lambda _: True
    ) -> Claim | None:
        """The next due job of these actions, now this worker's; None when there is none.

        Jobs that ask for more capacity than one place of their action are claimed when that `fits`.
        """
        if not actions:
            return None
        now = self.clock.now()
        async with self.database.read() as connection:  # a look first: an idle worker takes no write lock
            fitting = [text for text in await store.list_capacities(connection) if fits(json.loads(text))]
            if not await store.is_due(connection, actions, now, fitting):
                return None
        lease = secrets.token_hex(16)
        async with self.database.write(durable=False) as unit:  # a claim that is lost is a job that waits
            job = await store.claim(unit, actions, worker=self.worker_id, lease=lease, now=now, capacities=fitting)
        return None if job is None else Claim(job, lease)

    async def beat(self, claims: Collection[Claim]) -> None:
        """The claims that still hold are alive."""
        if claims:
            async with self.database.write(durable=False) as unit:
                await store.beat(unit, [claim.lease for claim in claims], self.clock.now())

    async def list_held(self, claims: Collection[Claim]) -> Mapping[str, bool]:
        """The leases of those claims that still hold, and whether cancelling was asked for."""
        if not claims:
            return {}
        async with self.database.read() as connection:
            return await store.list_held(connection, [claim.lease for claim in claims])

    async def log(self, claim: Claim, *texts: str) -> None:
        """The texts are in the job's log, line by line, readable at once; not when the claim was lost."""
        lines = clean_lines(*texts, limit=store.LINE_LIMIT)
        if lines:
            async with self.database.write(durable=False) as unit:
                await store.add_log(unit, claim, lines, self.clock.now())

    async def progress(self, claim: Claim, done: int, total: int) -> None:
        """How far the job is; not when the claim was lost."""
        async with self.database.write(durable=False) as unit:
            await store.put_progress(unit, claim, done, total)

    async def finish(self, claim: Claim) -> bool:
        """The job is done; False when the claim was lost."""
        return await self._end(claim, Status.DONE, None)

    async def cancel(self, claim: Claim, why: str) -> bool:
        """The job is canceled; False when the claim was lost."""
        return await self._end(claim, Status.CANCELED, why)

    async def fail(self, claim: Claim, why: str) -> bool:
        """The job is errored, or waits for its next try when it has retries left; False when the claim was lost."""
        job = claim.job
        if not job.retries_left:
            return await self._end(claim, Status.ERRORED, why)
        now = self.clock.now()
        pause = backoff(job.retries_total - job.retries_left + 1, self.chance())
        line = f"{_line(why)}; tried again from {now + pause:%Y-%m-%d %H:%M:%S} UTC on"
        async with self.database.write() as unit:
            return await store.wait_again(
                unit, claim, now, line=line, retries_left=job.retries_left - 1, scheduled_at=now + pause
            )

    async def give_back(self, claim: Claim) -> bool:
        """The job waits again in its old place, at no cost; False when the claim was lost."""
        async with self.database.write() as unit:
            return await store.wait_again(unit, claim, self.clock.now(), line="the worker stops; the job waits again")

    async def take_over(self, dead_after: timedelta) -> int:
        """How many jobs of workers silent for `dead_after` were taken from them: they wait again.

        A job that lost its worker for the third time is errored.
        """
        now = self.clock.now()
        before = now - dead_after
        async with self.database.read() as connection:
            silent = await store.list_silent(connection, before, limit=_PAGE)
        return sum([await self._take(claim, now, before) for claim in silent])

    async def take_back(self) -> int:
        """How many jobs a dead process of this worker's id left running: they wait again, or are errored, as above.

        Call it before the first claim: there is one living process of an id.
        """
        now = self.clock.now()
        async with self.database.read() as connection:
            left = await store.list_claims(connection, self.worker_id, limit=_PAGE)
        return sum([await self._take(claim, now, None) for claim in left])

    async def _take(self, claim: Claim, now: datetime, before: datetime | None) -> bool:
        losses, silent = claim.job.losses + 1, f"worker {claim.job.worker_id} fell silent"
        async with self.database.write() as unit:
            if losses >= LOSSES_LIMIT:
                line = f"{silent}, as {losses - 1} before it did over this job: it is not run again"
                return await store.end(unit, claim, Status.ERRORED, now, line=line, silent_since=before)
            line = f"{silent}; the job waits again"
            return await store.wait_again(unit, claim, now, line=line, silent_since=before, losses=losses)

    async def _end(self, claim: Claim, status: Status, why: str | None) -> bool:
        async with self.database.write() as unit:
            line = None if why is None else _line(why)
            return await store.end(unit, claim, status, self.clock.now(), line=line)


def _line(text: str) -> str:
    return " ".join(clean_lines(text, limit=store.LINE_LIMIT))[: store.LINE_LIMIT]
