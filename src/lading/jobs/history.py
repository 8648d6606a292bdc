"""History: finished jobs go by number and by age, their logs with them. Source: DTR reference 6.7, job history settings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from lading.core.clock import Clock
from lading.database import Database
from lading.jobs import store
from lading.jobs.context import JobContext
from lading.jobs.jobs import Job

_PAGE = 5000  # jobs looked up at once
_ROWS = 500  # rows deleted in one unit of work, unless one job's log alone is longer


@dataclass(frozen=True)
class History:
    """Drops what is too old, and all but the newest `keep` finished jobs of each action. Itself a job's handler."""

    database: Database
    clock: Clock
    keep: int
    age: timedelta

    async def __call__(self, _job: Job, context: JobContext, /) -> None:
        gone = await self.trim()
        await context.log(f"dropped {gone} finished jobs")

    async def trim(self) -> int:
        """How many jobs went."""
        before, count = self.clock.now() - self.age, 0
        while True:
            async with self.database.read() as connection:
                page = await store.list_history(connection, before=before, keep=self.keep, limit=_PAGE)
            for job_ids in _portions(page):
                async with self.database.write() as unit:
                    count += await store.delete_jobs(unit, job_ids)
            if len(page) < _PAGE:
                return count


def _portions(page: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    portion: list[str] = []
    rows = 0
    for job_id, lines in page:
        if portion and rows + lines + 1 > _ROWS:
            yield portion
            portion, rows = [], 0
        portion.append(job_id)
        rows += lines + 1
    if portion:
        yield portion
