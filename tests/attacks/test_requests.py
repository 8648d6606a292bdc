"""Attack rows 14, 16, 17 and 19 to 21 over every route of the REST doors, as the authorization table lists them. In process."""

import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

import httpx
import pytest
import structlog

from attacks.authorization_lines import LINES, Line
from attacks.authorization_world import ENZI, World
from support.apps import PASSWORD, SERVICE, Doors
from support.registries import digest_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVER_OWNED = (
    "id", "is_admin", "isAdmin", "is_active", "is_organization", "isOrg", "isImported", "directory", "directory_id",
    "robot_of", "robotOf", "epoch", "credential_epoch", "password_hash", "passwordHash", "password", "created_at",
    "createdAt", "updated_at", "hashedToken", "token", "generatedBy", "creatorUa", "lastUsed", "narrowing", "isActive",
    "pulls", "pushes", "namespace", "namespaceType", "orgID", "organization_id", "membersCount", "granted_by",
    "accountID", "account_id", "isBuiltIn", "status", "workerID", "__proto__", "constructor",
)  # fmt: skip
"""Fields that only the server sets, in its own words and in those of its answers. Some forms take some of them: by right."""
ROLES_THAT_MAY = ("member", "repoadmin", "owner", "admin")  # the least of them that may is asked for


async def ask(client: httpx.AsyncClient, method: str, path: str, *, raw: bool = False, **more: Any) -> httpx.Response:
    """The answer; `raw` paths are sent as they are written."""
    request = client.build_request(method, "/" if raw else path, **more)
    if raw:
        request.url = request.url.copy_with(raw_path=path.encode())
    return await client.send(request)


def kept(world: World) -> str:
    """All that the database holds, as SQL."""
    with closing(sqlite3.connect(world.file)) as live:
        return "\n".join(live.iterdump())


# --- row 14


@pytest.mark.parametrize("name", ["admin", "system", "everyone", "anonymous", "owners", "owner", "acme", "robot"])
async def test_attack_14_a_robot_named_like_somebody_powerful_has_its_own_rights_only(world: World, name: str) -> None:
    """harbor#23681: rights never come from how a name begins."""
    rights = [{"repository": "acme/app", "accessLevel": "read-only"}]
    made = await world.done("POST", "/api/v0/accounts/acme/robots", {"name": name, "repositories": rights})
    try:
        async with world.doors.client(made["robot"]["name"], made["token"]["token"]) as robot:
            assert (await robot.get("/api/v0/repositories/acme/app")).status_code == 200
            for path, status in (
                ("/api/v0/repositories/zanzibar/zanzapp", 404),
                ("/api/v0/meta/settings", 403),
                (ENZI, 403),
                (f"{ENZI}/acme", 404),
                (f"{ENZI}/acme/members", 404),
            ):
                assert (await robot.get(path)).status_code == status, path
            assert (await robot.delete("/api/v0/repositories/acme/app")).status_code == 403
            scope = "repository:acme/app:pull,push,delete"
            answer = await robot.get("/auth/token", params={"service": SERVICE, "scope": scope})
            token = world.doors.authenticator.read_token(answer.json()["token"])
            assert token.access["acme/app"] == {"pull"}
        for secret in (made["token"]["token"], PASSWORD):
            async with world.doors.client(name, secret) as client:
                answer = await client.get("/api/v0/meta/settings")
                assert answer.status_code == 401 or (name, secret) == ("admin", PASSWORD) or answer.status_code == 403
    finally:
        world.undo()


# --- row 16


def _with_forms(lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.body is not None]


async def fields_of(world: World, line: Line) -> set[str]:
    """The fields that a caller may set, as the description says."""
    document = (await world.clients["anonymous"].get("/api/v0/openapi.json")).json()
    method, path = line.route
    schema = document["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["schema"]
    name = schema.get("$ref", "").rpartition("/")[2]
    return set(document["components"]["schemas"].get(name, schema).get("properties", {}))


@pytest.mark.parametrize("line", _with_forms(LINES), ids=lambda line: f"{line.method} {line.path}")
async def test_attack_16_nobody_sets_what_the_server_owns(world: World, line: Line) -> None:
    """CVE-2019-16097. Refused, or without effect: nothing that was sent is kept or told, and nobody rises."""
    role = next(role for role in ROLES_THAT_MAY if line.expected[role] == "ok")
    known = await fields_of(world, line)
    usual = json.loads(line.text_of(world.ours))
    for field in SERVER_OWNED:
        if field in known:
            continue
        canary = f"canary-{secrets.token_hex(8)}"
        for value in (canary, True, {"name": canary}):
            answer = await line.ask(world.clients[role], world.ours, body=json.dumps({**usual, field: value}))
            assert answer.status_code == 400 or answer.is_success, (field, answer.text)
            if answer.is_success:  # ignored, as it seems
                assert canary not in answer.text, field
                assert canary not in kept(world), field
                assert administrators(world) == {"admin"}
                world.undo()
                break
    assert world.changes() == []


def administrators(world: World) -> set[str]:
    with closing(sqlite3.connect(world.file)) as live:
        return {name for (name,) in live.execute("SELECT name FROM accounts WHERE is_admin")}


async def test_attack_16_nobody_raises_himself_by_what_a_form_does_take(world: World) -> None:
    """What an administrator may set, others may not; for themselves least of all."""
    member, owner = world.clients["member"], world.clients["owner"]
    for client, method, path, form in (
        (member, "PATCH", f"{ENZI}/member", {"isAdmin": True}),
        (member, "PATCH", f"{ENZI}/member", {"isActive": True, "isAdmin": True}),
        (owner, "PATCH", f"{ENZI}/owner", {"isAdmin": True}),
        (owner, "PATCH", f"{ENZI}/acme", {"isAdmin": True}),
        (member, "PUT", f"{ENZI}/acme/members/member", {"isAdmin": True}),
        (world.clients["reader"], "PUT", f"{ENZI}/acme/teams/readers/members/reader", {"isAdmin": True}),
        (member, "POST", ENZI, {"name": "other", "password": PASSWORD, "isAdmin": True}),
        (member, "PATCH", ENZI, {"operations": [{"op": "update", "ref": "member", "value": {"isAdmin": True}}]}),
        (owner, "PUT", "/api/v0/grants", _grant("*", "user", "owner", "admin")),
        (owner, "PUT", "/api/v0/grants", _grant("zanzibar/*", "user", "owner", "admin")),
        (owner, "PUT", "/api/v0/grants", _grant("acme/*", "user", "owner", "owner")),
        (world.clients["repoadmin"], "PUT", "/api/v0/grants", _grant("acme/*", "user", "repoadmin", "admin")),
        (member, "POST", "/api/v0/api_tokens", {"repositories": [{"repository": "acme/app", "permissions": ["*"]}]}),
    ):
        answer = await client.request(method, path, json=form)
        assert answer.status_code in {400, 403, 404}, (path, answer.text)
    assert world.changes() == []


def _grant(resource: str, kind: str, subject: str, role: str) -> dict[str, str]:
    return {"resource": resource, "subjectKind": kind, "subject": subject, "role": role}


# --- row 17

TRICKS = {
    "two slashes before": lambda path: "/" + path,
    "two slashes inside": lambda path: path.replace("/v0/", "/v0//", 1),
    "a slash after": lambda path: path + "/",
    "two slashes after": lambda path: path + "//",
    "a parameter of the path": lambda path: path + ";x=1",
    "..;/": lambda path: path.replace("/v0/", "/v0/x/..;/", 1),
    "a dot": lambda path: path.replace("/v0/", "/v0/./", 1),
    "two dots": lambda path: path.replace("/v0/", "/v0/x/../", 1),
    "two dots, encoded": lambda path: path.replace("/v0/", "/v0/x/%2e%2e/", 1),
    "two dots, encoded twice": lambda path: path.replace("/v0/", "/v0/x/%252e%252e/", 1),
    "a slash, encoded": lambda path: path.replace("/v0/", "/v0%2f", 1),
    "a backslash": lambda path: path.replace("/v0/", "/v0\\", 1),
    "another case": lambda path: path.replace("/v0/", "/V0/", 1),
    "a letter, encoded": lambda path: path[:-1] + f"%{ord(path[-1]):02x}",
    "the beginning, encoded": lambda path: "/%61" + path[2:],
    "NUL": lambda path: path + "%00",
    "a line's end": lambda path: path + "%0a",
    "an ending": lambda path: path + ".json",
    "through an open door": lambda path: "/health/.." + path,
    "through the login": lambda path: "/login/.." + path,
    "through the explorer": lambda path: "/docs/api/.." + path,
}
WIDE_OPEN = {"/api/v0/repositories", "/basic_info"}


def _without_query(line: Line) -> bool:
    return line.method == "GET" and "?" not in line.path and line.expected["stranger"] != "ok"


@pytest.mark.parametrize("trick", TRICKS)
async def test_attack_17_no_way_around_the_paths_is_a_way_around_the_rights(world: World, trick: str) -> None:
    """CVE-2020-29662, for each path that strangers may not read."""
    opened = []
    for line in (line for line in LINES if _without_query(line)):
        path = TRICKS[trick](line.path_of(world.ours))
        for role in ("anonymous", "stranger"):
            answer = await ask(world.clients[role], "GET", path, raw=True)
            assert answer.status_code < 500, path
            if answer.is_success:
                opened.append((role, path))
    assert opened == []


# --- row 19

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'--></style>javascript:alert(3)"


async def test_attack_19_hostile_texts_come_back_as_json_that_no_browser_runs(world: World) -> None:
    """CVE-2025-32019: README, descriptions, labels, what an image says of itself, and what is repeated in errors."""
    owner = world.clients["owner"]
    try:
        await owner.patch(
            "/api/v0/repositories/acme/app", json={"longDescription": HOSTILE, "shortDescription": HOSTILE}
        )
        await owner.patch(f"{ENZI}/acme", json={"fullName": HOSTILE})
        await owner.patch(f"{ENZI}/acme/teams/readers", json={"description": HOSTILE})
        await owner.post("/api/v0/api_tokens", json={"tokenLabel": HOSTILE})
        await _push_hostile(world.doors, "acme/app")
        reflected = HOSTILE.replace("/", "%2F").replace("<", "%3C")
        for path in (
            "/api/v0/repositories", "/api/v0/repositories/acme", "/api/v0/repositories/acme/app",
            "/api/v0/repositories/acme/app/tags?includeManifests=true", "/api/v0/repositories/acme/app/tags/hostile",
            "/api/v0/repositories/acme/app/manifests", "/api/v0/repositories/acme/app/events", f"{ENZI}/acme",
            f"{ENZI}/acme/teams", "/api/v0/api_tokens", f"/api/v0/index/dockersearch?q={reflected}",
            f"/api/v0/repositories/acme/{reflected}", f"/api/v0/repositories?pageSize={reflected}",
            f"{ENZI}?filter={reflected}", f"/api/v0/{reflected}", f"/{reflected}", f"/v2/{reflected}/tags/list",
            f"/auth/token?service={reflected}&scope={reflected}", f"/docs/api/{reflected}", f"/login?next={reflected}",
        ):  # fmt: skip
            answer = await owner.get(path, headers={"Accept": "text/html"})
            kind = answer.headers["content-type"].partition(";")[0]
            assert kind == "application/json", (path, kind)
            if not path.startswith("/v2/"):
                assert answer.headers.get("x-content-type-options") == "nosniff", path
    finally:
        world.undo()


async def _push_hostile(doors: Doors, name: str) -> None:
    """An image whose config, labels and annotations are hostile, under the tag `hostile`."""
    config = json.dumps(
        {
            "os": HOSTILE,
            "architecture": HOSTILE,
            "author": HOSTILE,
            "config": {"Labels": {HOSTILE: HOSTILE}},
            "history": [{"created_by": HOSTILE}],
            "rootfs": {"type": "layers", "diff_ids": []},
        }
    ).encode()
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(config),
            "size": len(config),
        },
        "layers": [],
        "annotations": {"org.opencontainers.image.title": HOSTILE, HOSTILE: HOSTILE},
    }
    async with await doors.holder("owner", f"repository:{name}:pull,push") as holder:
        uploads = f"/v2/{name}/blobs/uploads/"
        assert (await holder.post(uploads, params={"digest": digest_of(config)}, content=config)).status_code == 201
        headers = {"Content-Type": kind}
        put = await holder.put(f"/v2/{name}/manifests/hostile", content=json.dumps(manifest), headers=headers)
        assert put.status_code == 201, put.text


async def test_attack_19_a_sessions_cookie_alone_changes_nothing(world: World) -> None:
    """CVE-2019-19025, for each route that changes something: without the token, or with another session's."""
    anonymous = world.clients["anonymous"]
    answers = []
    for name in ("admin", "owner"):
        answers.append(await anonymous.post("/login", json={"username": name, "password": PASSWORD}))
        anonymous.cookies.clear()
    cookies = [
        "; ".join(item.partition(";")[0] for item in answer.headers.get_list("set-cookie")) for answer in answers
    ]
    others = answers[1].json()["csrfToken"]
    world_before = kept(world)
    for line in (line for line in LINES if line.method != "GET"):
        for token in (None, "", "x", others):
            headers = {"Cookie": cookies[0]} | ({} if token is None else {"X-Csrf-Token": token})
            answer = await line.ask(anonymous, world.ours, headers=headers)
            assert answer.status_code == 403, (line.path, token)
    assert kept(world) == world_before
    # The cookies are good: with the token, it is done.
    headers = {"Cookie": cookies[0], "X-Csrf-Token": answers[0].json()["csrfToken"]}
    assert (await anonymous.put("/api/v0/roles/mine", json=_ROLE, headers=headers)).status_code == 200
    world.undo()


_ROLE = {"permissions": ["repository:content:pull"]}


# --- row 20

DROPPED: Mapping[str, tuple[str, str, object]] = {
    "the team's grant is taken back": ("DELETE", "/api/v0/repositories/acme/app/teamAccess/writers", None),
    "the team's grant is lowered": ("PUT", "/api/v0/grants", _grant("acme/app", "team", "writers", "scanner")),
    "out of the team": ("DELETE", f"{ENZI}/acme/teams/writers/members/writer", None),
    "out of the organization": ("DELETE", f"{ENZI}/acme/members/writer", None),
    "the team is gone": ("DELETE", f"{ENZI}/acme/teams/writers", None),
    "the account is switched off": ("PATCH", f"{ENZI}/writer", {"isActive": False}),
    "the account is gone": ("DELETE", f"{ENZI}/writer", None),
    "a new password": (
        "POST",
        f"{ENZI}/writer/changePassword",
        {"oldPassword": PASSWORD, "newPassword": "another horse battery"},
    ),
    "the organization is gone": ("DELETE", "/api/v0/accounts/acme", None),
}


@pytest.mark.parametrize("what", DROPPED)
async def test_attack_20_whom_a_right_was_taken_from_is_refused_at_the_next_request(world: World, what: str) -> None:
    """CVE-2025-23208, for tokens that are out already, too. What a directory's group drops is in test_directory_sync."""
    method, path, form = DROPPED[what]
    target = "/v2/acme/app/manifests/latest"
    writer = world.clients["writer"]
    token = (await writer.post("/api/v0/api_tokens", json={})).json()["token"]
    try:
        async with (
            await world.doors.holder("writer", "repository:acme/app:pull,push,delete") as holder,
            world.doors.client("writer", token) as by_token,
            world.doors.client() as nobody,
        ):
            login = await nobody.post("/login", json={"username": "writer", "password": PASSWORD})
            assert login.status_code == 200
            assert (await holder.get(target)).status_code == 200
            assert (await holder.post("/v2/acme/app/blobs/uploads/")).status_code == 202
            answer = await world.clients["admin"].request(method, path, json=form)
            assert answer.is_success, answer.text
            assert (await holder.get(target)).status_code == 401
            assert (await holder.post("/v2/acme/app/blobs/uploads/")).status_code == 401
            tags = "/api/v0/repositories/acme/app/tags/latest"
            for client in (writer, by_token, nobody):  # by password, by token, by session
                answer = await client.delete(tags, headers={"X-Csrf-Token": login.json()["csrfToken"]})
                is_shut_out = what == "a new password" and client is by_token
                assert answer.status_code in {401, 403, 404} or is_shut_out, answer.text
    finally:
        world.undo()


# --- row 21


async def test_attack_21_no_secret_is_told_again_by_any_endpoint_log_or_event(world: World) -> None:
    """CVE-2025-48374, GHSA-prh4-vhfh-24mj: secrets that are sent, and those that are made, through every endpoint."""
    canaries = {name: f"canary-{secrets.token_hex(12)}" for name in ("right", "wrong", "new", "directory", "provider")}
    admin, told = world.clients["admin"], list[str]()
    with structlog.testing.capture_logs() as logged:
        for method, path, form in _secret_forms(canaries):
            answer = await admin.request(method, path, json=form)
            told.append(answer.text)
        made = await world.done("POST", "/api/v0/api_tokens", {"tokenLabel": "new"})
        canaries["a token"] = made["token"]
        robot = {"name": "new", "repositories": [{"repository": "acme/*", "accessLevel": "read-only"}]}
        made = await world.done("POST", "/api/v0/accounts/acme/robots", robot)
        canaries["a robot's token"] = made["token"]["token"]
        login = await admin.post("/auth/login", json={"username": "new", "password": canaries["right"]})
        canaries["a session"] = login.json()["auth_token"]
        for secret in (canaries["wrong"], canaries["a token"]):
            told += await _misplaced(world, secret)
        for line in LINES:
            told.append((await line.ask(admin, world.ours, body=_spoilt(line, canaries["wrong"]))).text)
        await world.doors.parts.sign_in_log.flush()
        await world.doors.parts.refusals.flush()
    database = kept(world)
    world.undo()
    for name, canary in canaries.items():
        assert not [text for text in told if canary in text], name
        assert canary not in database, name
        assert canary not in str(logged), name


def _secret_forms(canaries: Mapping[str, str]) -> list[tuple[str, str, object]]:
    """Where secrets belong, and right beside."""
    right, wrong, new = canaries["right"], canaries["wrong"], canaries["new"]
    ldap = {"serverURL": "ldap://127.0.0.1:1", "readerDN": "cn=reader", "readerPassword": canaries["directory"]}
    provider = {"issuer": "https://127.0.0.1:1", "clientID": "lading", "clientSecret": canaries["provider"]}
    account = {"name": "new", "password": right}
    return [
        ("POST", ENZI, account),
        ("POST", ENZI, account),
        ("POST", ENZI, {**account, "name": "Not A Name"}),
        ("POST", ENZI, {**account, "password": [wrong]}),
        ("POST", ENZI, {**account, "password": wrong * 100}),
        ("POST", ENZI, {**account, "passwort": wrong}),
        ("PATCH", ENZI, {"operations": [{"op": "create", "value": account}, {"op": "create", "value": {"x": wrong}}]}),
        ("POST", f"{ENZI}/new/changePassword", {"oldPassword": wrong, "newPassword": "short"}),
        ("POST", f"{ENZI}/admin/changePassword", {"oldPassword": wrong, "newPassword": new}),
        ("POST", f"{ENZI}/new/changePassword", {"old": wrong, "newPassword": {"x": new}}),
        ("PUT", "/enzi/v0/config/auth/ldap", ldap),
        ("PUT", "/enzi/v0/config/auth/ldap", {**ldap, "serverURL": "nonsense"}),
        ("PUT", "/enzi/v0/config/auth/ldap", {**ldap, "readerPassword": [canaries["directory"]]}),
        ("POST", "/enzi/v0/config/auth/ldap/tryLogin", {"username": "new", "password": wrong}),
        ("POST", "/enzi/v0/config/auth/ldap/tryLogin", {"username": "new", "password": wrong, "settings": ldap}),
        ("PUT", "/enzi/v0/config/auth/oidc/corporate", provider),
        ("PUT", "/enzi/v0/config/auth/oidc/corporate", {**provider, "issuer": "http://nonsense"}),
        ("PUT", "/enzi/v0/config/auth/oidc/corporate", {**provider, "clientSecret": {"x": canaries["provider"]}}),
    ]


async def _misplaced(world: World, secret: str) -> list[str]:
    """Secrets where some clients put them, though they do not belong there."""
    anonymous, told = world.clients["anonymous"], []
    for path in ("/api/v0/repositories", f"{ENZI}/acme", "/v2/acme/app/tags/list", "/auth/token", "/login"):
        for kind in ("Bearer", "Basic", "Digest"):
            told.append((await anonymous.get(path, headers={"Authorization": f"{kind} {secret}"})).text)  # noqa: PERF401
        told.append((await anonymous.get(path, params={"refresh_token": secret, "password": secret})).text)
    told.append((await anonymous.post("/login", data={"username": "nobody", "password": secret})).text)
    told.append((await anonymous.get("/basic_info", headers={"Cookie": f"__Host-lading_session={secret}"})).text)
    return told


def _spoilt(line: Line, canary: str) -> str | None:
    """The line's form with a secret where no field is; None for lines without one."""
    if line.body is None:
        return None
    return json.dumps({"password": [canary], "secret": canary, "token": {"x": canary}})
