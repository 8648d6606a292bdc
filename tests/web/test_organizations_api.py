"""Organizations, teams, grants and robots through the REST doors, and what they let one do on `/v2`, over both databases."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from support.apps import PASSWORD, SERVICE, Doors
from support.registries import make_image

ENZI = "/enzi/v0/accounts"


class Acme:
    """The organization `acme`: alice owns it, bob and carol are members, dave is a stranger; team `builders` holds bob."""

    def __init__(self, doors: Doors) -> None:
        self.doors = doors

    async def ask(self, name: str | None, method: str, path: str, **more: Any) -> httpx.Response:
        async with self.doors.client(name) as client:
            return await client.request(method, path, **more)

    async def done(self, name: str | None, method: str, path: str, **more: Any) -> Any:
        answer = await self.ask(name, method, path, **more)
        assert answer.status_code in {200, 201, 202, 204}, answer.text
        return answer.json() if answer.content else None

    async def code(self, name: str | None, method: str, path: str, **more: Any) -> tuple[int, str]:
        answer = await self.ask(name, method, path, **more)
        return answer.status_code, answer.json()["errors"][0]["code"]

    async def actions(self, name: str | None, repository: str, secret: str = PASSWORD) -> list[str]:
        """What the token service grants of everything."""
        scope = f"repository:{repository}:pull,push,delete"
        async with self.doors.client(name, secret) as client:
            answer = await client.get("/auth/token", params={"service": SERVICE, "scope": scope})
        token = self.doors.authenticator.read_token(answer.json()["token"])
        return sorted(token.access[repository])


@pytest_asyncio.fixture
async def acme(doors: Doors) -> AsyncIterator[Acme]:
    acme = Acme(doors)
    for name in ("carol", "dave"):
        await acme.done("admin", "POST", ENZI, json={"name": name, "password": PASSWORD})
    await acme.done("admin", "POST", ENZI, json={"name": "acme", "isOrg": True, "fullName": "Acme Corporation"})
    await acme.done("admin", "PUT", f"{ENZI}/acme/members/alice", json={"isAdmin": True})
    for name in ("bob", "carol"):
        await acme.done("alice", "PUT", f"{ENZI}/acme/members/{name}", json={})
    await acme.done("alice", "POST", f"{ENZI}/acme/teams", json={"name": "builders"})
    await acme.done("alice", "PUT", f"{ENZI}/acme/teams/builders/members/bob", json={})
    for name in ("app", "base-one"):
        await acme.done("alice", "POST", "/api/v0/repositories/acme", json={"name": name})
    yield acme


async def test_an_organization_shows_its_members_and_teams_to_members_only(acme: Acme) -> None:
    shown = await acme.done("bob", "GET", f"{ENZI}/acme")
    assert (shown["isOrg"], shown["membersCount"], shown["teamsCount"]) == (True, 3, 1)
    members = await acme.done("carol", "GET", f"{ENZI}/acme/members")
    assert [(item["member"]["name"], item["isAdmin"]) for item in members["members"]] == [
        ("alice", True),
        ("bob", False),
        ("carol", False),
    ]
    owners = await acme.done("carol", "GET", f"{ENZI}/acme/members", params={"filter": "admins"})
    assert [item["member"]["name"] for item in owners["members"]] == ["alice"]
    assert [team["name"] for team in (await acme.done("carol", "GET", f"{ENZI}/acme/teams"))["teams"]] == ["builders"]
    for path in ("", "/members", "/members/bob", "/teams", "/teams/builders", "/teams/builders/members"):
        hidden, missing = [await acme.ask("dave", "GET", f"{ENZI}/{name}{path}") for name in ("acme", "acmf")]
        assert hidden.status_code == missing.status_code == 404, path
        assert hidden.text.replace("acme", "acmf").partition("requestId")[0] == missing.text.partition("requestId")[0]


async def test_only_owners_change_members_and_teams(acme: Acme) -> None:
    for name, expected in (("bob", (403, "NOT_AUTHORIZED")), ("dave", (404, "NO_SUCH_ACCOUNT"))):
        assert await acme.code(name, "PUT", f"{ENZI}/acme/members/dave", json={}) == expected
        assert await acme.code(name, "POST", f"{ENZI}/acme/teams", json={"name": "x"}) == expected
        assert await acme.code(name, "PUT", f"{ENZI}/acme/teams/builders/members/dave", json={}) == expected
        assert await acme.code(name, "DELETE", f"{ENZI}/acme/teams/builders") == expected
    assert await acme.code("bob", "DELETE", f"{ENZI}/acme") == (403, "NOT_AUTHORIZED")
    assert await acme.code("alice", "DELETE", f"{ENZI}/acme/members/alice") == (409, "LAST_OWNER")
    assert await acme.code("alice", "PUT", f"{ENZI}/acme/members/alice", json={"isAdmin": False}) == (409, "LAST_OWNER")


async def test_a_teams_admin_adds_to_the_team_and_so_to_the_organization(acme: Acme) -> None:
    await acme.done("alice", "PUT", f"{ENZI}/acme/teams/builders/members/bob", json={"isAdmin": True})
    await acme.done("bob", "PUT", f"{ENZI}/acme/teams/builders/members/dave", json={})
    assert (await acme.done("dave", "GET", f"{ENZI}/acme/members/dave"))["isAdmin"] is False
    teams = await acme.done("dave", "GET", f"{ENZI}/acme/members/dave/teams")
    assert [item["team"]["name"] for item in teams["memberTeams"]] == ["builders"]
    await acme.done("dave", "DELETE", f"{ENZI}/acme/members/dave")  # who may leave by himself
    assert await acme.code("alice", "GET", f"{ENZI}/acme/teams/builders/members/dave") == (404, "NO_SUCH_MEMBER")
    organizations = await acme.done("dave", "GET", f"{ENZI}/dave/organizations")
    assert organizations["memberOrgs"] == []


@pytest.mark.parametrize(
    ("level", "expected"),
    [("read-only", ["pull"]), ("read-write", ["delete", "pull", "push"]), ("admin", ["delete", "pull", "push"])],
)
async def test_a_teams_level_on_a_repository_is_what_its_members_may(
    acme: Acme, level: str, expected: list[str]
) -> None:
    assert await acme.actions("bob", "acme/app") == []
    path = "/api/v0/repositories/acme/app/teamAccess"
    put = await acme.done("alice", "PUT", f"{path}/builders", json={"accessLevel": level})
    assert put["teamAccessList"][0]["accessLevel"] == level
    assert await acme.actions("bob", "acme/app") == expected
    assert await acme.actions("bob", "acme/base-one") == []
    assert await acme.actions("carol", "acme/app") == []
    effective = await acme.done("bob", "GET", "/api/v0/accounts/bob/repositoryAccess/acme/app")
    assert (effective["accessLevel"], effective["user"]["name"]) == (level, "bob")
    edits = await acme.ask("bob", "PATCH", "/api/v0/repositories/acme/app", json={"shortDescription": "x"})
    assert edits.status_code == (200 if level == "admin" else 403)
    granted = await acme.done("bob", "GET", "/api/v0/accounts/acme/teams/builders/repositoryAccess")
    assert [item["repository"]["name"] for item in granted["repositoryAccessList"]] == ["app"]
    await acme.done("alice", "DELETE", f"{path}/builders")
    await acme.done("alice", "DELETE", f"{path}/builders")  # 204 also when nothing is there
    assert await acme.actions("bob", "acme/app") == []


async def test_a_level_on_the_namespace_counts_for_repositories_to_come_and_levels_add_up(acme: Acme) -> None:
    path = "/api/v0/repositoryNamespaces/acme/teamAccess"
    assert (await acme.code("alice", "GET", f"{path}/builders"))[1] == "NO_SUCH_NAMESPACE_TEAM_ACCESS"
    await acme.done("alice", "PUT", f"{path}/builders", json={"accessLevel": "read-only"})
    await acme.done("alice", "POST", "/api/v0/repositories/acme", json={"name": "later"})
    assert await acme.actions("bob", "acme/later") == ["pull"]
    await acme.done("alice", "PUT", "/api/v0/repositories/acme/app/teamAccess/builders", json={"accessLevel": "admin"})
    assert await acme.actions("bob", "acme/app") == ["delete", "pull", "push"]
    assert await acme.actions("bob", "acme/later") == ["pull"]
    assert await acme.code("bob", "POST", "/api/v0/repositories/acme", json={"name": "y"}) == (403, "NOT_AUTHORIZED")
    await acme.done("alice", "PUT", f"{path}/builders", json={"accessLevel": "admin"})
    await acme.done("bob", "POST", "/api/v0/repositories/acme", json={"name": "y"})
    assert await acme.code("bob", "POST", f"{ENZI}/acme/teams", json={"name": "z"}) == (403, "NOT_AUTHORIZED")


async def test_lists_show_what_was_granted_and_nothing_else(acme: Acme) -> None:
    async def seen(name: str | None) -> list[str]:
        listed = await acme.done(name, "GET", "/api/v0/repositories", params={"pageSize": 100})
        return [f"{item['namespace']}/{item['name']}" for item in listed["repositories"]]

    assert await seen("bob") == []
    grant = {"resource": "acme/base-*", "subjectKind": "user", "subject": "bob", "role": "read-only"}
    await acme.done("alice", "PUT", "/api/v0/grants", json=grant)
    assert await seen("bob") == ["acme/base-one"]
    assert await seen("carol") == []
    await acme.done("alice", "PATCH", "/api/v0/repositories/acme/app", json={"visibility": "public"})
    assert await seen("bob") == ["acme/app", "acme/base-one"]
    assert await seen(None) == ["acme/app"]
    everyone = {"resource": "acme/*", "subjectKind": "everyone", "role": "read-only"}
    await acme.done("alice", "PUT", "/api/v0/grants", json=everyone)
    assert await seen("dave") == ["acme/app", "acme/base-one"]
    assert await seen(None) == ["acme/app"]


async def test_a_pattern_with_an_underscore_means_just_that(acme: Acme) -> None:
    for name in ("a_b", "a-b"):
        await acme.done("alice", "POST", "/api/v0/repositories/acme", json={"name": name})
    grant = {"resource": "acme/*a_b", "subjectKind": "user", "subject": "bob", "role": "read-only"}
    await acme.done("alice", "PUT", "/api/v0/grants", json=grant)
    listed = await acme.done("bob", "GET", "/api/v0/repositories")
    assert [item["name"] for item in listed["repositories"]] == ["a_b"]
    assert (await acme.actions("bob", "acme/a_b"), await acme.actions("bob", "acme/a-b")) == (["pull"], [])


async def test_bearer_tokens_already_out_follow_a_change_at_the_next_request(acme: Acme) -> None:
    path = "/api/v0/repositories/acme/app/teamAccess/builders"
    await acme.done("alice", "PUT", path, json={"accessLevel": "read-write"})
    holder = await acme.doors.holder("bob", "repository:acme/app:pull,push")
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 200
    await acme.done("alice", "DELETE", f"{ENZI}/acme/teams/builders/members/bob")
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 401
    await acme.done("alice", "PUT", f"{ENZI}/acme/teams/builders/members/bob", json={})
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 200
    await acme.done("alice", "PUT", path, json={"accessLevel": "read-only"})
    assert (await holder.post("/v2/acme/app/blobs/uploads/")).status_code == 401
    await acme.done("alice", "DELETE", f"{ENZI}/acme/teams/builders")
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 401


async def test_a_custom_role_is_what_it_is_made_of_also_after_it_changes(acme: Acme) -> None:
    role = "/api/v0/roles/scanner"
    assert await acme.code("alice", "PUT", role, json={"permissions": ["repository:content:pull"]}) == (
        403,
        "NOT_AUTHORIZED",
    )
    await acme.done("admin", "PUT", role, json={"permissions": ["repository:scan:start"]})
    grant = {"resource": "acme/app", "subjectKind": "team", "subject": "builders", "role": "scanner"}
    await acme.done("alice", "PUT", "/api/v0/grants", json=grant)
    assert await acme.actions("bob", "acme/app") == []
    assert (await acme.done("bob", "GET", "/api/v0/repositories/acme/app"))["name"] == "app"
    await acme.done("admin", "PUT", role, json={"permissions": ["repository:content:pull"]})
    assert await acme.actions("bob", "acme/app") == ["pull"]
    assert await acme.code("admin", "DELETE", role) == (409, "ROLE_IN_USE")
    for words in (["system:system:administer"], ["nothing"], []):
        assert (await acme.code("admin", "PUT", role, json={"permissions": words}))[1] == "INVALID_ROLE"
    listed = await acme.done("alice", "GET", "/api/v0/grants", params={"namespace": "acme"})
    assert {"resource": "acme/app", "subject": "acme/builders", "role": "scanner"}.items() <= next(
        item for item in listed["grants"] if item["subjectKind"] == "team"
    ).items()
    gone = {"resource": "acme/app", "subjectKind": "team", "subject": "builders"}
    await acme.done("alice", "DELETE", "/api/v0/grants", params=gone)
    await acme.done("admin", "DELETE", role)


async def test_nobody_grants_what_is_not_theirs(acme: Acme) -> None:
    grant = {"resource": "acme/app", "subjectKind": "user", "subject": "dave", "role": "admin"}
    assert await acme.code("bob", "PUT", "/api/v0/grants", json=grant) == (403, "NOT_AUTHORIZED")
    assert await acme.code("dave", "PUT", "/api/v0/grants", json=grant) == (404, "NO_SUCH_ACCOUNT")
    assert await acme.code("alice", "PUT", "/api/v0/grants", json={**grant, "resource": "*"}) == (403, "NOT_AUTHORIZED")
    assert await acme.code("alice", "PUT", "/api/v0/grants", json={**grant, "role": "owner"}) == (404, "NO_SUCH_ROLE")
    for resource in ("acme", "acme/", "/app", "*/app", "ac*/app", "Acme/app", "acme/app\n", "a" * 400 + "/b"):
        assert (
            await acme.ask("admin", "PUT", "/api/v0/grants", json={**grant, "resource": resource})
        ).status_code == 400
    owners = {"resource": "acme/*", "subjectKind": "owners"}
    assert (await acme.ask("alice", "DELETE", "/api/v0/grants", params=owners)).status_code == 400
    await acme.done("dave", "PUT", "/api/v0/grants", json={**grant, "resource": "dave/*", "subject": "bob"})
    await acme.done("bob", "POST", "/api/v0/repositories/dave", json={"name": "shared"})


async def test_teams_have_no_access_to_personal_repositories(acme: Acme) -> None:
    await acme.done("alice", "POST", "/api/v0/repositories/alice", json={"name": "own"})
    path = "/api/v0/repositories/alice/own/teamAccess/builders"
    assert (await acme.ask("alice", "PUT", path, json={"accessLevel": "admin"})).status_code == 400


async def test_a_robot_pushes_where_it_was_granted_and_nowhere_else(acme: Acme) -> None:
    rights = [{"repository": "acme/base-*", "accessLevel": "read-write"}]
    made = await acme.done("alice", "POST", "/api/v0/accounts/acme/robots", json={"name": "ci", "repositories": rights})
    name, secret = made["robot"]["name"], made["token"]["token"]
    assert name == "robot$acme+ci"
    assert await acme.actions(name, "acme/base-one", secret) == ["delete", "pull", "push"]
    assert await acme.actions(name, "acme/app", secret) == []
    async with acme.doors.client(name, secret) as robot:
        assert (await robot.post("/api/v0/api_tokens", json={})).status_code == 404
        assert (await robot.get("/api/v0/repositories/acme/base-one")).status_code == 200
        assert (await robot.get("/api/v0/repositories/acme/app")).status_code == 404
        assert (await robot.get(f"{ENZI}/acme")).status_code == 404
    elsewhere = [{"repository": "bob/*", "accessLevel": "admin"}]
    robots = "/api/v0/accounts/acme/robots"
    assert (await acme.ask("alice", "POST", robots, json={"name": "x", "repositories": elsewhere})).status_code == 400
    assert (await acme.ask("bob", "POST", robots, json={"name": "x", "repositories": rights})).status_code == 403
    await acme.done("alice", "DELETE", f"{robots}/ci")
    async with acme.doors.client(name, secret) as robot:
        assert (await robot.get("/api/v0/repositories")).status_code == 401


async def test_attack_14_a_name_like_a_robots_gives_no_right(acme: Acme) -> None:
    for name in ("robot$acme+ci", "system", "anonymous", "everyone", "owners"):
        answer = await acme.ask("admin", "POST", ENZI, json={"name": name, "password": PASSWORD})
        if answer.status_code == 201:
            assert await acme.actions(name, "acme/app") == []
            assert (await acme.ask(name, "GET", "/api/v0/meta/settings")).status_code == 403
        else:
            assert answer.status_code == 400


async def test_a_narrowed_token_may_no_more_than_it_says_and_makes_no_others(acme: Acme) -> None:
    form = {
        "tokenLabel": "ci",
        "repositories": [{"repository": "acme/app", "permissions": ["repository:content:pull"]}],
    }
    made = await acme.done("alice", "POST", "/api/v0/api_tokens", json=form)
    assert await acme.actions("alice", "acme/app", made["token"]) == ["pull"]
    assert await acme.actions("alice", "acme/base-one", made["token"]) == []
    async with acme.doors.client("alice", made["token"]) as narrowed:
        assert (await narrowed.post("/api/v0/api_tokens", json={})).status_code == 404
        assert (await narrowed.get("/api/v0/repositories/acme/base-one")).status_code == 404
        listed = (await narrowed.get("/api/v0/repositories")).json()["repositories"]
        assert [item["name"] for item in listed] == ["app"]
        assert (await narrowed.delete("/api/v0/repositories/acme/app")).status_code == 403
        assert (await narrowed.put(f"{ENZI}/acme/members/dave", json={})).status_code == 404
        offline = {"service": SERVICE, "offline_token": "true", "scope": "repository:acme/app:pull,push"}
        refresh = (await narrowed.get("/auth/token", params=offline)).json()["refresh_token"]
    assert await acme.actions("alice", "acme/app", refresh) == ["pull"]
    admins = await acme.done("admin", "POST", "/api/v0/api_tokens", json=form)
    assert await acme.actions("admin", "acme/base-one", admins["token"]) == []
    async with acme.doors.client("admin", admins["token"]) as narrowed:
        assert (await narrowed.get("/api/v0/meta/settings")).status_code == 403


async def test_a_bearer_dies_with_the_access_token_it_was_fetched_by(acme: Acme) -> None:
    made = await acme.done("alice", "POST", "/api/v0/api_tokens", json={})
    async with acme.doors.client("alice", made["token"]) as client:
        asked = {"service": SERVICE, "scope": "repository:acme/app:pull"}
        token = (await client.get("/auth/token", params=asked)).json()["token"]
    holder = acme.doors.client(headers={"Authorization": f"Bearer {token}"})
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 200
    path = f"/api/v0/api_tokens/{made['hashedToken']}"
    await acme.done("alice", "PATCH", path, json={"isActive": False})
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 401
    await acme.done("alice", "PATCH", path, json={"isActive": True})
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 200
    await acme.done("alice", "DELETE", path)
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 401


async def test_an_access_token_ends_when_it_expires(acme: Acme) -> None:
    assert (await acme.ask("alice", "POST", "/api/v0/api_tokens", json={"expiresAt": "2001-01-01"})).status_code == 400
    made = await acme.done("alice", "POST", "/api/v0/api_tokens", json={"expiresAt": "2999-01-01T00:00:00Z"})
    assert made["expiresAt"].startswith("2999-01-01")


async def test_deleting_an_account_takes_all_that_is_its(acme: Acme) -> None:
    image = make_image()
    repository = await acme.doors.repository("alice/own")
    await repository.push_image("latest", image)
    assert await acme.code("admin", "DELETE", f"{ENZI}/acme") == (409, "ACCOUNT_OWNS_REPOSITORIES")
    assert (await acme.code("alice", "DELETE", "/api/v0/accounts/acme"))[0] == 403
    await acme.done("admin", "DELETE", "/api/v0/accounts/acme")
    assert await acme.code("admin", "GET", f"{ENZI}/acme") == (404, "NO_SUCH_ACCOUNT")
    assert (await acme.done("admin", "GET", "/api/v0/repositories"))["repositories"][0]["namespace"] == "alice"
    await acme.done("admin", "POST", ENZI, json={"name": "acme", "isOrg": True})
    assert (await acme.done("admin", "GET", f"{ENZI}/acme"))["membersCount"] == 0
    assert (await acme.done("admin", "GET", "/api/v0/grants", params={"namespace": "acme"}))["grants"] != []
    assert await acme.actions("bob", "acme/app") == []
    await acme.done("alice", "DELETE", "/api/v0/accounts/alice/repositories")
    await acme.done("admin", "DELETE", f"{ENZI}/alice")
    assert (await acme.ask("alice", "GET", "/api/v0/repositories")).status_code == 401


async def test_many_changes_at_once_are_done_or_refused_one_by_one(acme: Acme) -> None:
    operations = [
        {"op": "create", "value": {"name": "erin", "password": PASSWORD}},
        {"op": "create", "value": {"name": "bob", "password": PASSWORD}},
        {"op": "create", "value": {"name": "x", "is_admin": True}},
        {"op": "update", "ref": "erin", "value": {"fullName": "Erin"}},
        {"op": "delete", "ref": "nobody"},
        {"op": "delete", "ref": "dave"},
    ]
    results = (await acme.done("admin", "PATCH", ENZI, json={"operations": operations}))["results"]
    assert [item["success"] for item in results] == [True, False, False, True, False, True]
    assert results[1]["error"]["code"] == "ACCOUNT_EXISTS"
    assert (await acme.done("admin", "GET", f"{ENZI}/erin"))["fullName"] == "Erin"
    assert (await acme.code("alice", "PATCH", ENZI, json={"operations": []}))[0] == 403


@pytest.mark.parametrize("order", ["name", "-name", "fullName", "-fullName"])
async def test_accounts_are_paged_in_the_order_asked_for(acme: Acme, order: str) -> None:
    for name, full_name in (("erin", "Zoe"), ("frank", "Bob"), ("grace", "Bob")):
        form = {"name": name, "password": PASSWORD, "fullName": full_name}
        await acme.done("admin", "POST", ENZI, json=form)
    whole = (await acme.done("admin", "GET", ENZI, params={"order": order, "limit": 100}))["accounts"]
    key = {"name": lambda one: one["name"], "fullName": lambda one: (one["fullName"], one["name"])}[order.lstrip("-")]
    assert whole == sorted(whole, key=key, reverse=order.startswith("-"))
    found, start = [], ""
    while True:
        page = await acme.done("admin", "GET", ENZI, params={"order": order, "limit": 2, "start": start})
        found += page["accounts"]
        start = page["nextPageStart"]
        if not start:
            break
    assert found == whole


async def test_ucps_paths_lead_to_the_same_accounts(acme: Acme) -> None:
    assert await acme.done("admin", "GET", "/accounts/acme") == await acme.done("admin", "GET", f"{ENZI}/acme")
    assert await acme.done("admin", "GET", "/accounts", params={"filter": "orgs"}) == await acme.done(
        "admin", "GET", ENZI, params={"filter": "orgs"}
    )
    assert (await acme.ask("dave", "GET", "/accounts")).status_code == 403


async def test_searching_shows_what_one_may_see_and_nobody_else(acme: Acme) -> None:
    async def found(name: str | None, word: str) -> tuple[list[str], list[str]]:
        told = await acme.done(name, "GET", "/api/v0/index/autocomplete", params={"query": word})
        names = [f"{item['namespace']}/{item['name']}" for item in told["repositoryResults"]]
        return names, [item["name"] for item in told["accountResults"]]

    assert await found("alice", "APP") == (["acme/app"], [])
    assert await found("dave", "a") == ([], ["dave"])
    assert await found("carol", "a") == ([], ["acme", "alice", "carol"])
    assert (await found("admin", "dav"))[1] == ["dave"]
    assert await found("alice", "_") == ([], [])
    await acme.done("alice", "PATCH", "/api/v0/repositories/acme/app", json={"visibility": "public"})
    for path in ("/api/v0/index/dockersearch", "/v1/search"):
        told = await acme.done(None, "GET", path, params={"q": "app"})
        assert (told["num_results"], told["query"], told["results"][0]["name"]) == (1, "app", "acme/app")
    assert (await acme.ask(None, "GET", "/api/v0/index/autocomplete")).status_code == 401
