"""Jobs, crons, workers and action configs in `/api/v0`, and the accounts' jobs in `/enzi/v0`.

Over SQLite: what is asked of the database here the contracts of the jobs ask of both.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from lading.app.work import ACTIONS, handlers
from lading.database import Database
from lading.events.tables import events
from lading.jobs.context import JobContext
from lading.jobs.jobs import Job
from lading.jobs.worker import Timing, Worker
from support.apps import Doors
from support.waiting import until

JOB_KEYS = {
    "action", "capacityMap", "deadline", "id", "lastUpdated", "parameters", "retriesLeft", "retriesTotal", "retryFromID",
    "scheduledAt", "status", "stopTimeout", "workerID", "progressDone", "progressTotal",
}  # fmt: skip
CRON_KEYS = {
    "action", "capacityMap", "deadline", "id", "nextRun", "parameters", "retries", "schedule", "stopTimeout",
}  # fmt: skip
FAST = Timing(timedelta(milliseconds=20), timedelta(milliseconds=20), timedelta(hours=1), timedelta(seconds=5))


@asynccontextmanager
async def working(doors: Doors, action: str, handler: Any) -> AsyncIterator[Worker]:
    """A job worker that does the action with the handler."""
    worker = Worker(doors.database, doors.parts.clock, {action: handler}, "here", timing=FAST)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        worker.stop()
        await running


async def told(database: Database, kind: str) -> list[tuple[str, str, str, str]]:
    async with database.read() as connection:
        columns = (events.c.type, events.c.object_id, events.c.object_name, events.c.content)
        found = await connection.execute(select(*columns).where(events.c.object_type == kind).order_by(events.c.id))
        return [tuple(row) for row in found]


async def made(client: httpx.AsyncClient, **form: object) -> dict[str, Any]:
    answer = await client.post("/api/v0/jobs", json={"action": "onlinegc", **form})
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_the_worker_can_do_what_may_be_asked_for(doors: Doors) -> None:
    assert handlers(doors.parts).keys() == ACTIONS.keys()


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/api/v0/action_configs", None),
        ("POST", "/api/v0/action_configs", {"action": "onlinegc", "parameters": {}}),
        ("GET", "/api/v0/action_configs/onlinegc", None),
        ("DELETE", "/api/v0/action_configs/onlinegc", None),
        ("GET", "/api/v0/crons", None),
        ("POST", "/api/v0/crons", {"action": "onlinegc", "schedule": "@daily"}),
        ("GET", "/api/v0/crons/onlinegc", None),
        ("DELETE", "/api/v0/crons/onlinegc", None),
        ("GET", "/api/v0/jobs", None),
        ("POST", "/api/v0/jobs", {"action": "onlinegc"}),
        ("GET", "/api/v0/jobs/none", None),
        ("DELETE", "/api/v0/jobs/none", None),
        ("POST", "/api/v0/jobs/none/cancel", None),
        ("GET", "/api/v0/jobs/none/logs", None),
        ("GET", "/api/v0/workers", None),
        ("POST", "/api/v0/workers/none/capacity", {"capacityMap": {}}),
        ("GET", "/enzi/v0/jobs", None),
        ("POST", "/enzi/v0/jobs", {"action": "ldap-sync"}),
        ("GET", "/enzi/v0/jobs/none", None),
        ("GET", "/enzi/v0/jobs/none/logs", None),
    ],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_jobs_are_for_administrators_only(
    shared_doors: Doors, method: str, path: str, form: Mapping[str, object] | None
) -> None:
    async with shared_doors.client() as anonymous, shared_doors.client("alice") as alice:
        nobody, user = [await client.request(method, path, json=form) for client in (anonymous, alice)]
    assert (nobody.status_code, nobody.json()["errors"][0]["code"]) == (401, "NOT_AUTHENTICATED")
    assert (user.status_code, user.json()["errors"][0]["code"]) == (403, "NOT_AUTHORIZED")


async def test_a_job_is_shown_as_it_was_asked_for(doors: Doors) -> None:
    async with doors.client("admin") as admin:
        form = {
            "action": "onlinegc_events",
            "parameters": {"toKeep": "5"},
            "capacityMap": {"disk": 2},
            "deadline": "1h30m",
            "stopTimeout": "90s",
            "retries": 3,
            "scheduledAt": "2040-01-31T02:00:00+02:00",
        }
        job = await made(admin, **form)
        assert set(job) == JOB_KEYS
        wanted = {**form, "deadline": "1h30m0s", "stopTimeout": "1m30s", "scheduledAt": "2040-01-31T00:00:00.000000Z"}
        wanted |= {"retriesTotal": wanted["retries"], "retriesLeft": wanted.pop("retries")}
        assert {key: job[key] for key in wanted} == wanted
        assert (job["status"], job["workerID"], job["retryFromID"]) == ("waiting", "", "")
        path = f"/api/v0/jobs/{job['id']}"
        assert (await admin.get(path)).json() == job
        assert (await admin.get(path + "/logs")).json() == []
        bare = await made(admin, scheduledAt="0001-01-01T00:00:00Z", deadline="0s")
        assert (bare["deadline"], bare["stopTimeout"], bare["capacityMap"], bare["parameters"]) == ("", "", {}, {})
        assert bare["scheduledAt"] < "2040"


async def test_jobs_are_listed_newest_scheduled_first_by_action_worker_and_state(doors: Doors) -> None:
    async with doors.client("admin") as admin:
        ids = [(await made(admin, scheduledAt=f"2040-01-0{day}T00:00:00Z"))["id"] for day in range(1, 5)]
        other = (await made(admin, action="onlinegc_joblogs", scheduledAt="2030-01-01T00:00:00Z"))["id"]

        async def listed(**query: object) -> list[str]:
            answer = await admin.get("/api/v0/jobs", params={key: str(value) for key, value in query.items()})
            assert answer.status_code == 200, answer.text
            return [job["id"] for job in answer.json()["jobs"]]

        assert await listed() == [*reversed(ids), other]
        assert await listed(start=1, limit=2) == [ids[2], ids[1]]
        assert await listed(action="onlinegc_joblogs", worker="any", running="any") == [other]
        assert await listed(running="true") == await listed(worker="here") == await listed(limit=0) == []
        assert len(await listed(running="false")) == 5
        for query in ({"running": "perhaps"}, {"start": "-1"}, {"limit": "x"}):
            assert (await admin.get("/api/v0/jobs", params=query)).status_code == 400


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({"action": "nonsense"}, "onlinegc_events, onlinegc_joblogs"),
        ({"action": "onlinegc", "parameters": {"x": "1"}}, "has no parameter 'x'"),
        ({"action": "onlinegc_events", "parameters": {"x": "1"}}, "it has maxAge, toKeep"),
        ({"action": "onlinegc_events", "parameters": {"toKeep": 1}}, "string"),
        ({"action": "onlinegc_events", "parameters": {"toKeep": "1" * 70_000}}, "longer"),
        ({"action": "onlinegc", "deadline": "soon"}, "90s"),
        ({"action": "onlinegc", "deadline": "400d"}, "a year"),
        ({"action": "onlinegc", "stopTimeout": "-1s"}, "90s"),
        ({"action": "onlinegc", "retries": 101}, "retries"),
        ({"action": "onlinegc", "retries": "1"}, "retries"),
        ({"action": "onlinegc", "capacityMap": {"scan": -1}}, "0 to 1000"),
        ({"action": "onlinegc", "capacityMap": {"a b": 1}}, "names no capacity"),
        ({"action": "onlinegc", "scheduledAt": "tomorrow"}, "RFC 3339"),
        ({"action": "onlinegc", "id": "1"}, "id"),
        ({}, "action"),
    ],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_what_can_not_be_asked_for_is_refused_with_a_reason(
    shared_doors: Doors, form: dict[str, object], word: str
) -> None:
    async with shared_doors.client("admin") as admin:
        answer = await admin.post("/api/v0/jobs", json=form)
        assert (answer.status_code, word in answer.text) == (400, True), answer.text
        if "schedule" not in form and "scheduledAt" not in form and "id" not in form:
            cron = await admin.post("/api/v0/crons", json={**form, "schedule": "@daily"})
            assert (cron.status_code, word in cron.text) == (400, True), cron.text


async def test_a_cancelled_job_ends_at_its_worker(doors: Doors) -> None:
    reached: list[str] = []

    async def holds(_job: Job, context: JobContext) -> None:
        await context.log("begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            reached.append("cancelled")
            raise

    async with doors.client("admin") as admin, working(doors, "onlinegc", holds):
        path = f"/api/v0/jobs/{(await made(admin))['id']}"

        async def stands(status: str) -> bool:
            return bool((await admin.get(path)).json()["status"] == status)

        await until(lambda: stands("running"))
        job = (await admin.get(path)).json()
        assert job["workerID"] == "here"
        listed = (await admin.get("/api/v0/jobs", params={"running": "true", "worker": "here"})).json()["jobs"]
        assert [item["id"] for item in listed] == [job["id"]]
        assert (await admin.post(path + "/cancel")).status_code == 204
        await until(lambda: stands("canceled"))
        assert reached == ["cancelled"]
        assert (await admin.post(path + "/cancel")).status_code == 204  # it stays what it is
        gone = await made(admin)
        await until(lambda: _has_log(admin, gone["id"]))
        assert (await admin.delete(f"/api/v0/jobs/{gone['id']}")).status_code == 204
        await until(lambda: _is(len(reached) == 2))
        assert (await admin.get(f"/api/v0/jobs/{gone['id']}")).json()["errors"][0]["code"] == "NO_SUCH_JOB"
        assert (await admin.delete(f"/api/v0/jobs/{gone['id']}")).status_code == 204
        assert (await admin.post(f"/api/v0/jobs/{gone['id']}/cancel")).status_code == 404
    assert [(kind, content) for kind, _, _, content in await told(doors.database, "JOB")] == [
        ("CREATE", ""), ("UPDATE", "cancel"), ("CREATE", ""), ("DELETE", ""),
    ]  # fmt: skip


async def _has_log(client: httpx.AsyncClient, job_id: str) -> bool:
    return bool((await client.get(f"/api/v0/jobs/{job_id}/logs")).json())


async def _is(value: bool) -> bool:  # noqa: FBT001 — a condition for `until`
    return value


async def test_log_lines_are_read_from_any_line_on_and_as_they_come(doors: Doors) -> None:
    more = asyncio.Event()

    async def talks(_job: Job, context: JobContext) -> None:
        await context.log("one", "two")
        await more.wait()
        await context.log("three")

    async with doors.client("admin") as admin, working(doors, "onlinegc", talks):
        path = f"/api/v0/jobs/{(await made(admin))['id']}/logs"
        streamed = asyncio.create_task(admin.get(path, params={"stream": "true", "offset": "1"}))
        await until(lambda: _has_log(admin, path.split("/")[-2]))
        assert (await admin.get(path)).json() == [{"data": "one", "lineNum": 0}, {"data": "two", "lineNum": 1}]
        assert (await admin.get(path, params={"offset": 1, "limit": 1})).json() == [{"data": "two", "lineNum": 1}]
        assert (await admin.get(path, params={"offset": 2})).json() == []
        more.set()
        answer = await streamed
        lines = [json.loads(line) for line in answer.text.splitlines() if line]
        assert lines == [{"data": "two", "lineNum": 1}, {"data": "three", "lineNum": 2}]
        assert "content-length" not in answer.headers
        few = await admin.get(path, params={"stream": "true", "limit": 2})
        assert [json.loads(line)["data"] for line in few.text.splitlines()] == ["one", "two"]
        assert (await admin.head(path, params={"stream": "true"})).content == b""
        for query in ({}, {"stream": "true"}):
            assert (await admin.get("/api/v0/jobs/none/logs", params=query)).status_code == 404


async def test_a_cron_is_created_replaced_and_removed(doors: Doors) -> None:
    async with doors.client("admin") as admin:
        form = {
            "action": "onlinegc",
            "schedule": "57 54 3 * * *",
            "deadline": "2h",
            "retries": 1,
            "capacityMap": {"x": 1},
        }
        answer = await admin.post("/api/v0/crons", json=form)
        cron = answer.json()
        assert (answer.status_code, set(cron)) == (202, CRON_KEYS)
        assert cron["nextRun"].endswith("T03:54:57.000000Z")
        assert (cron["deadline"], cron["stopTimeout"], cron["capacityMap"]) == ("2h0m0s", "", {"x": 1})
        again = (await admin.post("/api/v0/crons", json={"action": "onlinegc", "schedule": "@hourly"})).json()
        assert (again["id"], again["schedule"], again["retries"]) == (cron["id"], "@hourly", 0)
        assert (await admin.get("/api/v0/crons")).json() == {"crons": [again]}
        assert (await admin.get("/api/v0/crons/onlinegc")).json() == again
        bad = await admin.post("/api/v0/crons", json={"action": "onlinegc", "schedule": "now and then"})
        assert (bad.status_code, bad.json()["errors"][0]["code"]) == (400, "INVALID_SCHEDULE")
        for _ in range(2):
            assert (await admin.delete("/api/v0/crons/onlinegc")).status_code == 204
        gone = await admin.get("/api/v0/crons/onlinegc")
        assert (gone.status_code, gone.json()["errors"][0]["code"]) == (404, "NO_SUCH_CRON")
        assert (await admin.get("/api/v0/crons")).json() == {"crons": []}
    assert await told(doors.database, "CRON") == [
        ("UPDATE", "onlinegc", "", "57 54 3 * * *"), ("UPDATE", "onlinegc", "", "@hourly"), ("DELETE", "onlinegc", "", ""),
    ]  # fmt: skip


async def test_an_actions_config_gives_the_parameters_that_a_job_is_not_given(doors: Doors) -> None:
    async with doors.client("admin") as admin:
        path, form = (
            "/api/v0/action_configs",
            {"action": "onlinegc_events", "parameters": {"toKeep": "7", "maxAge": "1h"}},
        )
        answer = await admin.post(path, json=form)
        config = answer.json()
        assert (answer.status_code, set(config)) == (202, {"id", "action", "parameters"})
        assert (await admin.get(path)).json() == {"actionConfigs": [config]}
        assert (await admin.get(path + "/onlinegc_events")).json() == config
        job = await made(admin, action="onlinegc_events", parameters={"maxAge": "2h"})
        assert job["parameters"] == {"toKeep": "7", "maxAge": "2h"}
        replaced = (await admin.post(path, json={**form, "parameters": {}})).json()
        assert (replaced["id"], replaced["parameters"]) == (config["id"], {})
        assert (await admin.post(path, json={**form, "parameters": {"x": ""}})).status_code == 400
        assert (await admin.post(path, json={**form, "action": "nonsense"})).status_code == 400
        for _ in range(2):
            assert (await admin.delete(path + "/onlinegc_events")).status_code == 204
        assert (await admin.get(path + "/onlinegc_events")).json()["errors"][0]["code"] == "NO_SUCH_ACTION_CONFIG"
        assert (await made(admin, action="onlinegc_events"))["parameters"] == {}
    names = [content for _, _, _, content in await told(doors.database, "ACTION_CONFIG")]
    assert names == ["maxAge, toKeep", "", ""]  # names, no values


async def test_workers_are_listed_and_given_a_capacity(doors: Doors) -> None:
    async def nothing(_job: Job, _context: JobContext) -> None: ...

    async with doors.client("admin") as admin, working(doors, "onlinegc", nothing):

        async def beats() -> bool:
            return bool((await admin.get("/api/v0/workers")).json()["workers"])

        await until(beats)
        (worker,) = (await admin.get("/api/v0/workers")).json()["workers"]
        assert set(worker) == {"capacityMap", "heartbeatExpiration", "id", "status"}
        assert (worker["id"], worker["status"]) == ("here", "running")
        assert worker["capacityMap"] == dict.fromkeys(ACTIONS, 1)
        path = "/api/v0/workers/here/capacity"
        assert (await admin.post(path, json={"capacityMap": {"onlinegc": 0, "disk": 4}})).status_code == 202
        (worker,) = (await admin.get("/api/v0/workers")).json()["workers"]
        assert (worker["capacityMap"]["onlinegc"], worker["capacityMap"]["disk"]) == (0, 4)
        for form in ({}, {"capacityMap": {"x": -1}}, {"capacityMap": {"x": "1"}}, {"capacityMap": {"x": 1001}}):
            assert (await admin.post(path, json=form)).status_code == 400
        missing = await admin.post("/api/v0/workers/none/capacity", json={"capacityMap": {}})
        assert (missing.status_code, missing.json()["errors"][0]["code"]) == (404, "NO_SUCH_WORKER")


async def test_the_accounts_jobs_are_directory_syncs_and_nothing_else(doors: Doors) -> None:
    async with doors.client("admin") as admin:
        other = (await made(admin))["id"]
        assert (await admin.get(f"/enzi/v0/jobs/{other}")).status_code == 404
        assert (await admin.get(f"/enzi/v0/jobs/{other}/logs")).status_code == 404
        assert (await admin.post("/enzi/v0/jobs", json={"action": "onlinegc"})).status_code == 400
        assert (await admin.get("/enzi/v0/jobs")).json() == {"jobs": []}
        answer = await admin.post("/enzi/v0/jobs", json={"action": "ldap-sync"})
        if "ldap-sync" not in ACTIONS:
            assert answer.status_code == 400
            return
        job = answer.json()
        assert (answer.status_code, job["status"]) == (202, "waiting")
        assert (await admin.post("/enzi/v0/jobs", json={"action": "ldap-sync"})).json()["id"] == job["id"]
        assert (await admin.get(f"/enzi/v0/jobs/{job['id']}")).json() == job
        assert (await admin.get("/enzi/v0/jobs")).json() == {"jobs": [job]}
        assert (await admin.get(f"/enzi/v0/jobs/{job['id']}/logs")).json() == []


async def test_histories_are_kept_as_the_site_settings_say_or_the_job(doors: Doors) -> None:
    async with doors.client("admin") as admin:
        path = "/api/v0/meta/settings"
        known = (await admin.get(path)).json()
        assert {key: value for key, value in known.items() if "History" in key} == {
            "jobHistoryCompactionEnabled": True,
            "jobHistoryToKeep": 1000,
            "jobHistoryMaxAge": "2160h0m0s",
            "repoEventHistoryCompactionEnabled": True,
            "repoEventHistoryToKeep": 5_000_000,
            "repoEventHistoryMaxAge": "",
        }
        for form in (
            {"repoEventHistoryToKeep": "1"},
            {"repoEventHistoryToKeep": -1},
            {"repoEventHistoryToKeep": True},
            {"repoEventHistoryMaxAge": "x"},
            {"jobHistoryMaxAge": 5},
            {"jobHistoryCompactionEnabled": 1},
        ):
            answer = await admin.post(path, json=form)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "INVALID_SETTINGS"), form
        wanted = {"repoEventHistoryToKeep": 2, "repoEventHistoryMaxAge": "30d", "jobHistoryToKeep": 1}
        assert (await admin.post(path, json=wanted)).status_code == 202
        assert (await admin.get(path)).json()["repoEventHistoryMaxAge"] == "720h0m0s"
        assert "repoEventHistoryMaxAge=720h0m0s" in str(await told(doors.database, "SETTINGS"))

        async def run(action: str, **parameters: str) -> tuple[str, list[str]]:
            job = await made(admin, action=action, parameters=parameters)
            worker = Worker(doors.database, doors.parts.clock, handlers(doors.parts), "here", timing=FAST)
            while await worker.run_one():
                await worker.wait()
            lines = (await admin.get(f"/api/v0/jobs/{job['id']}/logs")).json()
            return (await admin.get(f"/api/v0/jobs/{job['id']}")).json()["status"], [line["data"] for line in lines]

        async def count() -> int:
            answer = await admin.get("/api/v0/events", params={"count": "true"})
            return int(answer.headers["x-resource-count"])

        before = await count()
        assert await run("onlinegc_events", toKeep="0", maxAge="0") == ("done", ["dropped 0 events"])
        assert await count() == before + 1  # the job was asked for
        assert await run("onlinegc_events") == ("done", [f"dropped {before} events"])
        assert await count() == 3  # two, and that the others went
        status, lines = await run("onlinegc_events", toKeep="all")
        assert (status, "whole number" in lines[0]) == ("errored", True)
        assert (await admin.post(path, json={"repoEventHistoryCompactionEnabled": False})).status_code == 202
        assert (await run("onlinegc_events"))[1] == ["dropped 0 events"]
        assert await run("onlinegc_joblogs") == ("done", ["dropped 3 finished jobs"])
