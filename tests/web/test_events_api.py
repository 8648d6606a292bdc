"""Events in `/api/v0`: what is told, to whom, and in which order, over both databases."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from lading.core.clock import rfc3339
from lading.events import feed
from lading.events.log import SYSTEM, Event, EventType, ObjectType, record
from lading.events.tables import events
from support.apps import PASSWORD, Doors
from support.registries import make_image

PATH = "/api/v0/events"
AGENT = {"User-Agent": "docker/28.2.2"}
KEYS = {"id", "publishedAt", "actor", "actorType", "actorName", "type", "object", "repository"}
ADMIN_KEYS = {"outcome", "address", "userAgent"}


async def listed(client: httpx.AsyncClient, path: str = PATH, **query: str | int) -> list[dict[str, Any]]:
    answer = await client.get(path, params={"pageSize": 1000, **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def words(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{item['type']} {item['object']['type']}" for item in found]


async def pulled(doors: Doors, name: str | None, repository: str, reference: str) -> None:
    """Somebody pulled it, and it was written down."""
    async with await doors.holder(name, f"repository:{repository}:pull") as client:
        client.headers.update(AGENT)
        assert (await client.get(f"/v2/{repository}/manifests/{reference}")).status_code == 200
    await doors.made.registry.pulls.write_counts()


async def test_a_push_a_pull_and_a_deletion_tell_who_what_and_from_where(doors: Doors) -> None:
    repository = await doors.repository("alice/app")
    repository.client.headers.update(AGENT)
    digest = await repository.push_image("v1", make_image())
    await pulled(doors, "alice", "alice/app", "v1")
    await pulled(doors, "alice", "alice/app", digest)
    assert (await repository.ask("DELETE", "manifests/v1")).status_code == 202
    async with doors.client("admin") as admin:
        found = await listed(admin, "/api/v0/repositories/alice/app/events")
        alice = (await admin.get("/enzi/v0/accounts/alice")).json()["id"]
    assert words(found) == [
        "DELETE TAG", "GET MANIFEST", "GET TAG", "UPDATE TAG", "CREATE MANIFEST", "CREATE REPOSITORY",
    ]  # fmt: skip
    assert set(found[0]) == KEYS | ADMIN_KEYS
    assert {(item["actor"], item["actorType"], item["actorName"]) for item in found} == {(alice, "account", "alice")}
    assert {item["repository"] for item in found} == {"alice/app"}
    assert {(item["outcome"], item["address"]) for item in found} == {("done", "127.0.0.1")}
    assert {item["userAgent"] for item in found[:-1]} == {"docker/28.2.2"}
    objects = [item["object"] for item in found]
    assert objects[2] == objects[3] == {"id": "v1", "type": "TAG", "content": digest}
    assert objects[1] == objects[4] == {"id": digest, "type": "MANIFEST"}
    assert objects[5]["name"] == "alice/app"


async def test_pulls_are_told_once_a_batch_and_not_at_all_when_that_is_switched_off(doors: Doors) -> None:
    repository = await doors.repository("alice/app", visibility="public")
    await repository.push_image("v1", make_image())
    async with doors.client("admin") as admin, await doors.holder(None, "repository:alice/app:pull") as anyone:
        for _ in range(3):
            assert (await anyone.get("/v2/alice/app/manifests/v1")).status_code == 200
        await doors.made.registry.pulls.write_counts()
        (event,) = await listed(admin, eventType="GET")
        assert (event["actorType"], event["actor"], event["actorName"]) == ("anonymous", "", "")
        assert (await admin.get("/api/v0/repositories/alice/app")).json()["pulls"] == 3
        assert (await admin.post("/api/v0/meta/settings", json={"pullEventsEnabled": False})).status_code == 202
        await pulled(doors, None, "alice/app", "v1")
        assert len(await listed(admin, eventType="GET")) == 1
        assert (await admin.get("/api/v0/repositories/alice/app")).json()["pulls"] == 4


async def test_others_see_what_happened_in_repositories_that_they_may_view(doors: Doors) -> None:
    hidden = await doors.repository("alice/hidden")
    shown = await doors.repository("alice/shown", visibility="public")
    for repository in (hidden, shown):
        await repository.push_image("v1", make_image())
        await pulled(doors, "alice", repository.name, "v1")
    async with doors.client("bob") as bob, doors.client("alice") as alice, doors.client() as anonymous:
        seen = await listed(bob)
        assert {item["repository"] for item in seen} == {"alice/shown"}
        assert words(seen) == ["UPDATE TAG", "CREATE MANIFEST", "CREATE REPOSITORY"]
        assert set(seen[0]) == KEYS
        assert await listed(bob, "/api/v0/repositories/alice/shown/events") == seen
        paths = [f"/api/v0/repositories/alice/{name}/events" for name in ("hidden", "hidder")]
        for client, status in ((bob, 404), (anonymous, 401)):
            theirs, none = [await client.get(path) for path in paths]
            assert theirs.status_code == none.status_code == status
            assert theirs.text.replace("hidden", "") == none.text.replace("hidder", "").replace(
                none.json()["requestId"], theirs.json()["requestId"]
            )
        assert (await anonymous.get(PATH)).status_code == 401
        # Whoever administers a repository sees its pulls, there.
        mine = await listed(alice, "/api/v0/repositories/alice/hidden/events")
        assert words(mine)[0] == "GET TAG"
        assert set(mine[0]) == KEYS
        assert (
            words(await listed(alice, "/api/v0/repositories/alice/hidden/events", excludePull="true"))
            == words(mine)[1:]
        )
        assert {item["repository"] for item in await listed(alice)} == {"alice/hidden", "alice/shown"}
        assert "GET TAG" not in words(await listed(alice))


async def test_what_happened_before_a_repository_was_made_anew_is_not_its_owners_to_see(doors: Doors) -> None:
    first = await doors.repository("alice/app", visibility="public")
    await first.push_image("secret-project", make_image())
    async with doors.client("alice") as alice, doors.client("bob") as bob, doors.client("admin") as admin:
        assert (await alice.delete("/api/v0/repositories/alice/app")).status_code == 204
        assert await listed(bob) == await listed(alice) == []
        await doors.repository("alice/app", visibility="public")
        for found in (
            await listed(alice),
            await listed(bob),
            await listed(alice, "/api/v0/repositories/alice/app/events"),
        ):
            assert words(found) == ["CREATE REPOSITORY"]
        assert len(await listed(admin, "/api/v0/repositories/alice/app/events")) == 5


async def _happen(doors: Doors, *moments: datetime) -> None:
    async with doors.database.write() as unit:
        for number, at in enumerate(moments):
            event = Event(EventType.UPDATE, SYSTEM, ObjectType.SETTINGS, str(number), at=at)
            await record(unit, at, event)


async def test_events_are_filtered_and_paged_newest_first(doors: Doors) -> None:
    start = datetime(2030, 1, 1, tzinfo=UTC)
    # Told in another order than they happened, two at the same moment.
    await _happen(doors, *(start + timedelta(hours=hour) for hour in (3, 1, 2, 2, 4)))
    async with doors.client("admin") as admin:
        after = {"publishedAfter": rfc3339(start), "objectType": "SETTINGS"}
        assert [item["object"]["id"] for item in await listed(admin, **after)] == ["4", "0", "3", "2", "1"]
        seen: list[str] = []
        query: dict[str, str] = {**after, "pageSize": "2", "count": "true"}
        while True:
            answer = await admin.get(PATH, params=query)
            assert answer.headers["x-resource-count"] == "5"
            page = answer.json()["events"]
            assert len(page) <= 2
            seen += [item["object"]["id"] for item in page]
            query["pageStart"] = answer.headers.get("x-next-page-start", "")
            if not query["pageStart"]:
                break
        assert seen == ["4", "0", "3", "2", "1"]
        bounds = {"publishedAfter": "2030-01-01T01:00:00Z", "publishedBefore": "2030-01-01T05:00:00+02:00"}
        assert [item["object"]["id"] for item in await listed(admin, **bounds)] == ["3", "2", "1"]
        me = (await admin.get("/enzi/v0/accounts/admin")).json()["id"]
        created = await listed(admin, eventType="create", objectType="account")
        assert {item["object"]["name"] for item in created} == {"admin", "alice", "bob"}
        assert await listed(admin, actorId=me) == []
        for wrong in (
            {"publishedAfter": "yesterday"},
            {"publishedBefore": "9999-99-99T00:00:00Z"},
            {"eventType": "NONSENSE"},
            {"objectType": "NONSENSE"},
            {"pageStart": "x"},
            {"pageStart": "1"},
            {"pageStart": f"{'9' * 30}-{'9' * 30}"},
            {"pageSize": "0"},
        ):
            answer = await admin.get(PATH, params=wrong)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "INVALID_PARAMETERS"), wrong
        assert await listed(admin, pageStart="0-0") == []


async def test_who_sees_little_of_a_long_log_finds_it_page_by_page(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WINDOW", 3)
    await doors.repository("bob/first")
    for number in range(4):
        await doors.repository(f"alice/private{number}")
    await doors.repository("bob/second")
    async with doors.client("bob") as bob:
        found: list[str] = []
        start, pages = "", 0
        while pages == 0 or start:
            answer = await bob.get(PATH, params={"pageStart": start})
            found += [item["repository"] for item in answer.json()["events"]]
            start, pages = answer.headers.get("x-next-page-start", ""), pages + 1
        assert found == ["bob/second", "bob/first"]
        assert 2 < pages < 10


async def test_sign_ins_and_refusals_of_them_are_told_and_no_secret_with_them(doors: Doors) -> None:
    log = doors.parts.sign_in_log
    async with doors.client("admin", headers=AGENT) as admin:
        alice = (await admin.get("/enzi/v0/accounts/alice")).json()["id"]
        for _ in range(2):
            log.succeeded(alice, "alice", method="password")
        for name in ("alice", "hunter2", *["alice"] * 9):
            log.refused(name, method="password", why="wrong password, or no such account")
        await log.flush(is_last=True)
        found = await listed(admin, eventType="SIGN_IN")
        told = [
            (item["outcome"], item["actor"], item["object"].get("name", ""), item["object"]["id"]) for item in found
        ]
        # The attempts of the client itself are told, too, once that is wired; here are those of no request.
        mine = [item for item, event in zip(told, found, strict=True) if not event["address"]]
        assert mine.count(("refused", "", "alice", alice)) == 5
        assert mine.count(("refused", "", "", "")) == 2
        assert mine.count(("done", alice, "alice", alice)) == 1
        contents = json.dumps(found)
        assert "5 more like it" in contents
        assert "no account of that name" in contents
        assert "hunter2" not in contents
        assert PASSWORD not in contents
    async with doors.client("bob") as bob:
        assert await listed(bob) == []


async def test_writes_that_are_refused_are_told_and_soon_only_counted(doors: Doors) -> None:
    async with doors.client("bob", headers=AGENT) as bob, doors.client("admin") as admin:
        for _ in range(25):
            answer = await bob.post("/api/v0/meta/settings?refresh=1", json={"readOnlyRegistry": True})
            assert answer.status_code == 403
        assert (await bob.get("/api/v0/meta/settings")).status_code == 403  # reading is not told
        await doors.parts.refusals.flush(is_last=True)
        found = await listed(admin, eventType="REFUSE")
        assert len(found) == 21
        first = found[-1]
        assert first["object"] == {"id": "POST /api/v0/meta/settings", "type": "URI", "name": "bob"}
        assert (first["actorName"], first["outcome"], first["address"]) == ("bob", "refused", "127.0.0.1")
        assert [item["object"]["content"] for item in found if "content" in item["object"]] == ["5 more like it"]
        assert await listed(bob) == []


async def test_pushes_that_are_refused_are_told_and_pulls_are_not(doors: Doors) -> None:
    await doors.repository("alice/app")
    scopes = {
        "push": "repository:alice/app:pull,push",
        "pull": "repository:alice/app:pull",
        "all": "repository:alice/app:*",
    }
    async with doors.client("bob", headers=AGENT) as bob, doors.client("admin") as admin:
        for scope in scopes.values():
            assert (await bob.get("/auth/token", params={"scope": scope})).status_code == 200
        await doors.parts.refusals.flush(is_last=True)
        found = await listed(admin, eventType="REFUSE")
        assert [(item["object"]["id"], item["actorName"], item["outcome"]) for item in found] == [
            ("push,delete repository:alice/app", "bob", "refused"),
            ("push repository:alice/app", "bob", "refused"),
        ]
        # A token that was good when it was fetched, for a right that is gone since.
        grant = {"resource": "alice/app", "subjectKind": "user", "subject": "bob", "role": "read-write"}
        assert (await admin.put("/api/v0/grants", json=grant)).is_success
        holder = await doors.holder("bob", scopes["push"])
        uploads = "/v2/alice/app/blobs/uploads/"
        assert (await holder.post(uploads)).status_code == 202
        gone = {name: value for name, value in grant.items() if name != "role"}
        assert (await admin.delete("/api/v0/grants", params=gone)).is_success
        assert (await holder.post(uploads)).status_code == 401
        await doors.parts.refusals.flush(is_last=True)
        found = await listed(admin, eventType="REFUSE")
        assert (len(found), found[0]["object"]["id"]) == (3, "push repository:alice/app")


async def test_secrets_are_never_in_the_log(doors: Doors) -> None:
    async with doors.client("admin") as admin, doors.client("alice") as alice:
        form = {"name": "carol", "password": "carols secret 1"}
        assert (await admin.post("/enzi/v0/accounts", json=form)).status_code == 201
        path = "/enzi/v0/accounts/alice/changePassword"
        token = (await alice.post("/api/v0/api_tokens", json={"tokenLabel": "ci"})).json()["token"]
        form = {"oldPassword": PASSWORD, "newPassword": "alices secret 2"}
        assert (await alice.post(path, json=form)).status_code == 200
        config = {"action": "onlinegc_events", "parameters": {"maxAge": "3s"}}
        assert (await admin.post("/api/v0/action_configs", json=config)).status_code == 202
    async with doors.database.read() as connection:
        rows = [list(map(str, row)) for row in await connection.execute(select(events))]
    text = json.dumps(rows)
    assert "password" in text  # the change itself is there
    for secret in ("carols secret 1", "alices secret 2", PASSWORD, token, "3s"):
        assert secret not in text


async def test_the_address_is_printable_whatever_the_client_calls_itself(doors: Doors) -> None:
    async with doors.client("alice", headers={"User-Agent": b"a\xff\x1b[31m" + b"x" * 400}) as alice:
        assert (await alice.post("/api/v0/repositories/alice", json={"name": "app"})).status_code == 201
    async with doors.client("admin") as admin:
        (event,) = await listed(admin, "/api/v0/repositories/alice/app/events")
    assert event["userAgent"].startswith("aÿ?[31mxxx")
    assert len(event["userAgent"]) == 255
