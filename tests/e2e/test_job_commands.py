"""`lading job`, `lading cron` and `lading events` against real servers, and a log that is read while it grows."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.commands import lading, lading_json
from support.registries import make_image, push_image
from support.servers import Server

pytestmark = pytest.mark.slow


class Commands:
    """The command, told of the server and who the administrator is."""

    def __init__(self, server: Server) -> None:
        with server.client() as admin:
            self._token = admin.post("/api/v0/api_tokens", json={}).json()["token"]
        self._where = ("--url", server.url, "--ca", server.authority)

    def __call__(self, *words: str, status: int = 0) -> str:
        return lading(*words, *self._where, status=status, LADING_TOKEN=self._token)

    def json(self, *words: str) -> Any:
        return lading_json(*words, *self._where, LADING_TOKEN=self._token)


@pytest.fixture
def ask(nginx_server: Server) -> Commands:
    return Commands(nginx_server)


def test_jobs_are_run_looked_at_and_stopped(ask: Commands) -> None:
    said = ask("job", "run", "onlinegc", "--wait")
    assert "collected" in said
    assert "is done" in said
    later = ("onlinegc_events", "-p", "toKeep=0", "--at", "2040-01-01T00:00:00Z")
    job = ask.json("job", "run", *later)
    assert job["parameters"] == {"toKeep": "0"}
    assert job["id"] in ask("job", "list", "--action", "onlinegc_events")
    ask("job", "cancel", job["id"])
    assert ask.json("job", "show", job["id"])["status"] == "canceled"
    assert ask("job", "logs", job["id"], "--follow") == ""
    ask("job", "delete", job["id"])
    assert "there is no job" in ask("job", "show", job["id"], status=1)
    assert "want NAME=VALUE" in ask("job", "run", "onlinegc", "-p", "x", status=2)
    assert "no length of time" in ask("job", "run", "onlinegc_events", "-p", "maxAge=x", "--wait", status=1)


def test_what_runs_by_itself_is_listed_set_and_removed(ask: Commands) -> None:
    usual = {item["action"]: item["schedule"] for item in ask.json("cron", "list")}
    wanted = {"onlinegc": "0 30 2 * * *", "onlinegc_joblogs": "@daily", "onlinegc_events": "@hourly"}
    assert wanted.items() <= usual.items()
    ask("cron", "remove", "onlinegc_joblogs")
    assert "onlinegc_joblogs" not in ask("cron", "list")
    assert "00:00:00 UTC" in ask("cron", "set", "onlinegc_joblogs", "@daily")


def test_events_are_listed_and_exported_from_a_server_and_from_its_data_folder(
    nginx_server: Server, ask: Commands
) -> None:
    began = datetime.now(UTC)
    headers = nginx_server.bearer("repository:admin/told:pull,push")
    with nginx_server.client() as admin, nginx_server.client(name=None) as client:
        assert admin.post("/api/v0/repositories/admin", json={"name": "told"}).status_code == 201
        digest = push_image(client, "admin/told", "v1", make_image(), headers)
        assert client.get("/v2/admin/told/manifests/v1", headers=headers).status_code == 200
    for _ in range(100):  # pulls are written every few seconds
        found = ask.json("events", "list", "--repository", "admin/told")
        if len(found) == 4:
            break
        time.sleep(0.2)
    words = [f"{item['type']} {item['object']['type']}" for item in found]
    assert words == ["GET TAG", "UPDATE TAG", "CREATE MANIFEST", "CREATE REPOSITORY"]
    assert {(item["actorName"], item["address"]) for item in found} == {("admin", "127.0.0.1")}
    few = ("events", "list", "--repository", "admin/told", "--no-pulls", "--limit", "1")
    assert [item["object"]["content"] for item in ask.json(*few)] == [digest]
    shown = ask("events", "list", "--actor", "admin", "--type", "UPDATE", "--object", "TAG")
    assert digest in shown
    after = ("--after", (began - timedelta(seconds=1)).isoformat())
    exported = ask("events", "export", *after, "--repository", "admin/told")
    assert [json.loads(line) for line in exported.splitlines()] == found
    local = lading("events", "export", "--after", "1h", "--repository", "admin/told", "--data", nginx_server.data)
    assert [json.loads(line)["id"] for line in local.splitlines()] == [item["id"] for item in found]
    assert "RFC 3339" in ask("events", "list", "--after", "soon", status=2)
    assert "no account" in ask("events", "list", "--actor", "nobody-here", status=1)


def test_a_log_is_sent_as_it_grows(server: Server) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)
    with server.client() as admin:
        job = admin.post("/api/v0/jobs", json={"action": "onlinegc", "scheduledAt": at.isoformat()}).json()
        with admin.stream("GET", f"/api/v0/jobs/{job['id']}/logs", params={"stream": "true"}) as answer:
            assert answer.status_code == 200
            assert datetime.now(UTC) < at  # the answer begins before there is a line
            lines = [json.loads(line) for line in answer.iter_lines() if line]
        assert datetime.now(UTC) >= at
        assert [line["lineNum"] for line in lines] == [0]
        assert "collected" in lines[0]["data"]
        assert admin.get(f"/api/v0/jobs/{job['id']}").json()["status"] == "done"
