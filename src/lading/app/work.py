"""What the job worker can do, by action, and what it does by itself."""

from collections.abc import Mapping
from dataclasses import replace

from lading.accounts.directory_sign_in import SYNC
from lading.accounts.directory_sync import DirectorySync
from lading.app.parts import Parts
from lading.core.durations import LONGEST
from lading.events.log import Actor
from lading.events.retention import Retention
from lading.jobs.actions import Action
from lading.jobs.context import Handler, JobContext
from lading.jobs.history import History
from lading.jobs.jobs import Job
from lading.jobs.keeping import Keep
from lading.jobs.schedules import Schedules

GARBAGE, HISTORY, EVENT_HISTORY = "onlinegc", "onlinegc_joblogs", "onlinegc_events"
"""Actions of jobs, in DTR's words."""

_ANY_NUMBER = 2**31 - 1
_KEEP = {
    "toKeep": "how many stay at most, the newest; 0: any number. Without it, the site setting says",
    "maxAge": "the oldest that stay, such as 720h; 0: of any age. Without it, the site setting says",
}
ACTIONS: Mapping[str, Action] = {
    GARBAGE: Action("collects what no manifest needs any more"),
    HISTORY: Action("drops old finished jobs and their logs", _KEEP),
    EVENT_HISTORY: Action("drops old events", _KEEP),
    SYNC: Action("brings accounts, teams, owners and administrators up to the directory"),
}
"""What may be asked of the job worker, by action; `handlers` does it."""


def handlers(parts: Parts) -> dict[str, Handler]:
    """What the job worker can do, by action."""
    # Who starts again after a kill goes on where he was: the lease is his, not the dead process's.
    garbage = replace(parts.garbage, holder=f"{parts.boot.replica}-jobs")

    async def collect(_job: Job, context: JobContext) -> None:
        async def progress(done: int, total: int, _what: str) -> None:
            await context.progress(done, total)

        collected = await garbage.collect(progress)
        await context.log(
            f"collected {collected.blobs.count} blobs ({collected.blobs.size_bytes} bytes), {collected.manifests} "
            f"manifests, {collected.uploads} uploads, {collected.stray.count} stray files"
        )

    async def trim_jobs(job: Job, context: JobContext) -> None:
        await parts.live.refresh()
        now = parts.live.current
        settings = Keep.by_settings(is_on=now.job_history, count=now.job_history_keep, age=now.job_history_age)
        keep = settings.asked_by(job)
        await History(parts.database, parts.clock, keep.count or _ANY_NUMBER, keep.age or LONGEST)(job, context)

    async def trim_events(job: Job, context: JobContext) -> None:
        async def told(gone: int) -> None:
            context.check()
            await context.progress(gone, 0)

        await parts.live.refresh()
        now = parts.live.current
        settings = Keep.by_settings(is_on=now.event_history, count=now.event_history_keep, age=now.event_history_age)
        keep = settings.asked_by(job)
        retention = Retention(parts.database, parts.clock)
        gone = await retention.trim(keep=keep.count, age=keep.age, told=told, by=Actor.job(job.id))
        await context.log(f"dropped {gone} events")

    sync = DirectorySync(parts.database, parts.clock, parts.directory.settings, f"{parts.boot.replica}-jobs")
    return {GARBAGE: collect, HISTORY: trim_jobs, EVENT_HISTORY: trim_events, SYNC: sync}


async def set_schedules(parts: Parts) -> None:
    """What runs by itself: as the settings say; without that, as somebody set it while the server ran, else as usual."""
    schedules, garbage = Schedules(parts.database, parts.clock), parts.boot.settings.garbage
    if "schedule" not in garbage.model_fields_set:
        await schedules.put_first(GARBAGE, garbage.schedule)
    elif garbage.schedule:
        await schedules.put(GARBAGE, garbage.schedule)
    else:
        await schedules.delete(GARBAGE)
    await schedules.put_first(HISTORY, "@daily")
    await schedules.put_first(EVENT_HISTORY, "@hourly")
