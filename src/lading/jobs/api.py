"""Jobs, crons, workers and action configs in `/api/v0`, the accounts' jobs in `/enzi/v0`. Source: DTR reference 1.2, 1.3, 1.6.

All of it is for system administrators: who may run actions may do what the server may.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lading.access import Permission, Principal, System, decide
from lading.core.clock import NEVER, rfc3339
from lading.core.durations import format_duration, parse_duration
from lading.core.errors import DeniedError, LadingError
from lading.events.log import Actor
from lading.jobs.actions import Action, check_action
from lading.jobs.config_store import ActionConfig
from lading.jobs.configs import ActionConfigs
from lading.jobs.cron import Schedule
from lading.jobs.jobs import FINISHED, RETRIES_LIMIT, Job, JobInvalidError, JobRequest, JobUnknownError, LogLine
from lading.jobs.queue import LIST_LIMIT, Queue
from lading.jobs.schedules import Schedules
from lading.jobs.workers import Workers, WorkerState
from lading.web.api import SignedIn, send_growing

ACCOUNT_ACTIONS = frozenset({"ldap-sync"})
"""The actions that `/enzi/v0/jobs` speaks of. Source: DTR reference 1.6."""

_ANY = "any"
_DEAD_AFTER = timedelta(seconds=30)  # what other workers wait before they take a silent one's jobs
_STREAM_PAGE = 500
_STREAM_POLL_SECONDS = 1.0
_STREAM_QUIET_SECONDS = 15.0  # after so long white space tells the client, and what stands between, that we live
_STREAM_SECONDS = 3600.0

_Numbers = Annotated[dict[str, Annotated[int, Field(strict=True)]], Field(max_length=100)]
_Texts = Annotated[dict[str, str], Field(max_length=100)]
_Duration = Annotated[str, Field(max_length=64, description="such as 90s or 1h30m; empty for none")]
_ActionName = Annotated[str, Path(max_length=64)]
_JobId = Annotated[str, Path(max_length=64)]

_LOG: dict[str, Any] = {
    "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
    "application/x-ndjson": {"schema": {"type": "string"}},
}


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ActionConfigCreate(_Form):
    """DTR's form:ActionConfigCreate."""

    action: str = Field(max_length=64)
    parameters: _Texts = {}


class JobSubmission(_Form):
    """DTR's form:JobSubmission."""

    action: str = Field(max_length=64)
    capacity: _Numbers = Field({}, alias="capacityMap")
    deadline: _Duration = ""
    parameters: _Texts = {}
    retries: int = Field(0, ge=0, le=RETRIES_LIMIT, strict=True)
    scheduled_at: str = Field("", alias="scheduledAt", max_length=64, description="RFC 3339; empty for now")
    stop_timeout: _Duration = Field("", alias="stopTimeout")


class CronCreate(_Form):
    """DTR's form:CronCreate."""

    action: str = Field(max_length=64)
    capacity: _Numbers = Field({}, alias="capacityMap")
    deadline: _Duration = ""
    parameters: _Texts = {}
    retries: int = Field(0, ge=0, le=RETRIES_LIMIT, strict=True)
    schedule: str = Field(max_length=128, description="second minute hour day month weekday, or @daily and its kin")
    stop_timeout: _Duration = Field("", alias="stopTimeout")


class UpdateWorkerCapacity(_Form):
    """DTR's form:UpdateWorkerCapacity."""

    capacity: _Numbers = Field(alias="capacityMap")


class AccountJobSubmission(_Form):
    """eNZi's form: which action to run now."""

    action: str = Field(max_length=64)


def _administrator(who: SignedIn) -> Principal:
    if not decide(who, Permission.ADMINISTER, System()):
        raise DeniedError("only an administrator may")
    return who


Administrator = Annotated[Principal, Depends(_administrator)]


@dataclass(frozen=True)
class JobUseCases:
    """What the doors of jobs ask. `actions` are those that the job worker of this installation can do."""

    queue: Queue
    schedules: Schedules
    configs: ActionConfigs
    workers: Workers
    actions: Mapping[str, Action]


def router(use: JobUseCases) -> APIRouter:
    """The endpoints of jobs, crons, workers and action configs."""
    routes = APIRouter()
    _add_configs(routes, use)
    _add_crons(routes, use)
    _add_jobs(routes, use)
    _add_workers(routes, use)
    _add_account_jobs(routes, use)
    return routes


def _add_configs(routes: APIRouter, use: JobUseCases) -> None:
    base, tags = "/api/v0/action_configs", ["jobs"]

    @routes.get(base, summary="Default parameters of jobs, by action", tags=[*tags])
    async def list_configs(_: Administrator) -> dict[str, Any]:
        return {"actionConfigs": [config_json(item) for item in await use.configs.list()]}

    @routes.post(base, status_code=202, summary="Set the default parameters of an action", tags=[*tags])
    async def put_config(form: ActionConfigCreate, who: Administrator) -> dict[str, Any]:
        check_action(use.actions, form.action, form.parameters)
        return config_json(await use.configs.put(form.action, form.parameters, by=Actor.account(who.account_id)))

    @routes.get(base + "/{action}", summary="Default parameters of one action", tags=[*tags])
    async def read_config(action: _ActionName, _: Administrator) -> dict[str, Any]:
        return config_json(await use.configs.get(action))

    @routes.delete(base + "/{action}", status_code=204, summary="Back to the built-in parameters", tags=[*tags])
    async def delete_config(action: _ActionName, who: Administrator) -> None:
        await use.configs.delete(action, by=Actor.account(who.account_id))


def _add_crons(routes: APIRouter, use: JobUseCases) -> None:
    base, tags = "/api/v0/crons", ["jobs"]

    @routes.get(base, summary="What runs by itself", tags=[*tags])
    async def list_crons(_: Administrator) -> dict[str, Any]:
        return {"crons": [cron_json(item) for item in await use.schedules.list()]}

    @routes.post(base, status_code=202, summary="Create or replace the schedule of an action", tags=[*tags])
    async def put_cron(form: CronCreate, who: Administrator) -> dict[str, Any]:
        check_action(use.actions, form.action, form.parameters)
        made = await use.schedules.put(
            form.action,
            form.schedule,
            parameters=form.parameters,
            deadline=_length(form.deadline),
            stop_timeout=_length(form.stop_timeout),
            retries=form.retries,
            capacity=form.capacity,
            by=Actor.account(who.account_id),
        )
        return cron_json(made)

    @routes.get(base + "/{action}", summary="The schedule of one action", tags=[*tags])
    async def read_cron(action: _ActionName, _: Administrator) -> dict[str, Any]:
        return cron_json(await use.schedules.get(action))

    @routes.delete(base + "/{action}", status_code=204, summary="The action no longer runs by itself", tags=[*tags])
    async def delete_cron(action: _ActionName, who: Administrator) -> None:
        await use.schedules.delete(action, by=Actor.account(who.account_id))


def _add_jobs(routes: APIRouter, use: JobUseCases) -> None:
    base, tags, queue = "/api/v0/jobs", ["jobs"], use.queue

    @routes.get(base, summary="Jobs, newest scheduled first", tags=[*tags])
    async def list_jobs(
        _: Administrator,
        action: Annotated[str, Query(max_length=64)] = _ANY,
        worker: Annotated[str, Query(max_length=64)] = _ANY,
        running: Annotated[str, Query(pattern="^(any|true|false)$")] = _ANY,
        start: Annotated[int, Query(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Query(ge=0)] = 10,
    ) -> dict[str, Any]:
        found = await queue.list(
            action=None if action == _ANY else action,
            worker=None if worker == _ANY else worker,
            running=None if running == _ANY else running == "true",
            start=start,
            limit=limit,
        )
        return {"jobs": [job_json(item) for item in found]}

    @routes.post(base, status_code=202, summary="Run an action, now or at a moment", tags=[*tags])
    async def submit(form: JobSubmission, who: Administrator) -> dict[str, Any]:
        check_action(use.actions, form.action, form.parameters)
        wanted = JobRequest(
            form.action,
            parameters=form.parameters,
            scheduled_at=_moment(form.scheduled_at),
            deadline=_length(form.deadline),
            stop_timeout=_length(form.stop_timeout),
            retries=form.retries,
            capacity=form.capacity,
        )
        return job_json(await queue.submit(wanted, by=Actor.account(who.account_id)))

    @routes.get(base + "/{job_id}", summary="One job", tags=[*tags])
    async def read_job(job_id: _JobId, _: Administrator) -> dict[str, Any]:
        return job_json(await queue.get(job_id))

    @routes.delete(base + "/{job_id}", status_code=204, summary="Cancel and delete", tags=[*tags])
    async def delete_job(job_id: _JobId, who: Administrator) -> None:
        await queue.delete(job_id, by=Actor.account(who.account_id))

    @routes.post(base + "/{job_id}/cancel", status_code=204, summary="Ask its worker to stop", tags=[*tags])
    async def cancel_job(job_id: _JobId, who: Administrator) -> None:
        await queue.cancel(job_id, by=Actor.account(who.account_id))

    @routes.get(
        base + "/{job_id}/logs",
        summary="Log lines; stream=true sends lines of JSON as they come, until the job ends",
        tags=[*tags],
        response_model=None,
        responses={200: {"content": _LOG}},
    )
    async def read_log(
        job_id: _JobId,
        _: Administrator,
        request: Request,
        stream: Annotated[bool, Query()] = False,  # noqa: FBT002 — a query parameter
        offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        limit: Annotated[int, Query(ge=0, description="0: all there are")] = 0,
    ) -> list[dict[str, Any]] | Response:
        most = min(limit, LIST_LIMIT) or LIST_LIMIT
        if not stream:
            return [line_json(line) for line in await queue.log(job_id, start=offset, limit=most)]
        await queue.get(job_id)
        return send_growing(request, iter_log(queue, job_id, start=offset, limit=most), "application/x-ndjson")


def _add_workers(routes: APIRouter, use: JobUseCases) -> None:
    base, tags = "/api/v0/workers", ["jobs"]

    @routes.get(base, summary="Who runs jobs", tags=[*tags])
    async def list_workers(_: Administrator) -> dict[str, Any]:
        now = use.workers.clock.now()
        return {"workers": [worker_json(item, use.actions, now) for item in await use.workers.list()]}

    @routes.post(base + "/{worker_id}/capacity", status_code=202, summary="How many jobs it runs at once", tags=[*tags])
    async def set_capacity(
        worker_id: Annotated[str, Path(max_length=64)], form: UpdateWorkerCapacity, who: Administrator
    ) -> None:
        await use.workers.set_capacity(worker_id, form.capacity, by=Actor.account(who.account_id))


def _add_account_jobs(routes: APIRouter, use: JobUseCases) -> None:
    base, tags, queue = "/enzi/v0/jobs", ["accounts"], use.queue

    async def get(job_id: str) -> Job:
        job = await queue.get(job_id)
        if job.action not in ACCOUNT_ACTIONS:
            raise JobUnknownError(job_id)
        return job

    @routes.get(base, summary="Directory syncs, newest first", tags=[*tags])
    async def list_account_jobs(
        _: Administrator,
        start: Annotated[int, Query(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Query(ge=0)] = 10,
    ) -> dict[str, Any]:
        found = await _list_of(queue, ACCOUNT_ACTIONS, start=start, limit=limit)
        return {"jobs": [job_json(item) for item in found]}

    @routes.post(base, status_code=202, summary="Sync with the directory now", tags=[*tags])
    async def submit_account_job(form: AccountJobSubmission, who: Administrator) -> dict[str, Any]:
        check_action({name: use.actions[name] for name in ACCOUNT_ACTIONS & use.actions.keys()}, form.action, {})
        # One that waits already does the work of the second.
        wanted = JobRequest(form.action, unique_key=f"accounts:{form.action}")
        return job_json(await queue.submit(wanted, by=Actor.account(who.account_id)))

    @routes.get(base + "/{job_id}", summary="One sync", tags=[*tags])
    async def read_account_job(job_id: _JobId, _: Administrator) -> dict[str, Any]:
        return job_json(await get(job_id))

    @routes.get(base + "/{job_id}/logs", summary="What a sync did, and why", tags=[*tags])
    async def read_account_log(
        job_id: _JobId,
        _: Administrator,
        offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        limit: Annotated[int, Query(ge=0)] = 0,
    ) -> list[dict[str, Any]]:
        await get(job_id)
        most = min(limit, LIST_LIMIT) or LIST_LIMIT
        return [line_json(line) for line in await queue.log(job_id, start=offset, limit=most)]


async def _list_of(queue: Queue, actions: Collection[str], *, start: int, limit: int) -> Sequence[Job]:
    """Jobs of these few actions, newest scheduled first."""
    most = min(start + limit, LIST_LIMIT)
    found = [job for action in actions for job in await queue.list(action=action, limit=most)]
    return sorted(found, key=lambda job: (job.scheduled_at, job.id), reverse=True)[start : start + limit]


async def iter_log(
    queue: Queue, job_id: str, *, start: int, limit: int, poll_seconds: float = _STREAM_POLL_SECONDS
) -> AsyncGenerator[bytes, None]:
    """Lines of the job's log as lines of JSON, as they come, until the job has ended, is gone, or an hour is over.

    Empty, or white space, while nothing comes.
    """
    began = told_at = time.monotonic()
    try:
        while limit and time.monotonic() - began < _STREAM_SECONDS:
            ended = (await queue.get(job_id)).status in FINISHED  # asked first: what it wrote before is read yet
            found = await queue.log(job_id, start=start, limit=min(limit, _STREAM_PAGE))
            if found:
                start, limit, told_at = found[-1].line + 1, limit - len(found), time.monotonic()
                yield b"".join(msgspec.json.encode(line_json(line)) + b"\n" for line in found)
            elif ended:
                return
            else:
                is_quiet = time.monotonic() - told_at >= _STREAM_QUIET_SECONDS
                told_at = time.monotonic() if is_quiet else told_at
                yield b"\n" if is_quiet else b""
                await asyncio.sleep(poll_seconds)
    except LadingError:
        return  # it was deleted, or the database is away: the answer has begun, and ends here


def _length(text: str) -> timedelta | None:
    return parse_duration(text) or None


def _moment(text: str) -> datetime | None:
    if text in {"", NEVER}:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise JobInvalidError(
            "scheduledAt is a moment as RFC 3339 writes it, such as 2026-01-31T00:00:00Z, or empty for now"
        ) from error


def job_json(item: Job) -> dict[str, Any]:
    """DTR's Job. A job tried again is the same one here, so `retryFromID` is always empty."""
    return {
        "id": item.id,
        "action": item.action,
        "status": item.status.value,
        "workerID": item.worker_id,
        "scheduledAt": rfc3339(item.scheduled_at),
        "lastUpdated": rfc3339(item.updated_at),
        "parameters": dict(item.parameters),
        "capacityMap": dict(item.capacity),
        "deadline": format_duration(item.deadline),
        "stopTimeout": format_duration(item.stop_timeout),
        "retriesLeft": item.retries_left,
        "retriesTotal": item.retries_total,
        "retryFromID": "",
        "progressDone": item.progress_done,
        "progressTotal": item.progress_total,
    }


def cron_json(item: Schedule) -> dict[str, Any]:
    """DTR's Cron."""
    return {
        "id": item.id,
        "action": item.action,
        "schedule": item.schedule,
        "nextRun": rfc3339(item.next_run_at),
        "parameters": dict(item.parameters),
        "capacityMap": dict(item.capacity),
        "deadline": format_duration(item.deadline),
        "stopTimeout": format_duration(item.stop_timeout),
        "retries": item.retries,
    }


def config_json(item: ActionConfig) -> dict[str, Any]:
    """DTR's ActionConfig."""
    return {"id": item.id, "action": item.action, "parameters": dict(item.parameters)}


def line_json(item: LogLine) -> dict[str, Any]:
    """DTR's JobLog."""
    return {"data": item.data, "lineNum": item.line}


def worker_json(item: WorkerState, actions: Collection[str], now: datetime) -> dict[str, Any]:
    """DTR's Worker; one job of each action at once, where nothing else was set."""
    expires = item.heartbeat_at + _DEAD_AFTER
    return {
        "id": item.id,
        "status": "dead" if item.status == "running" and expires < now else item.status,
        "capacityMap": {**dict.fromkeys(sorted(actions), 1), **item.capacity},
        "heartbeatExpiration": rfc3339(expires),
    }
