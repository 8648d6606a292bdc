"""Accounts from a real OpenLDAP: sign-in, sync, teams, owners and administrators, over both databases and the real doors."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from lading.accounts import sign_in
from lading.app.work import handlers
from lading.core.errors import LadingError
from support.apps import PASSWORD as LOCAL_PASSWORD
from support.apps import SERVICE, Doors
from support.openldap import (
    GROUPS,
    PASSWORD,
    PEOPLE,
    READER,
    READER_PASSWORD,
    OpenLdap,
    dn,
    group,
    needs_openldap,
    person,
)

pytestmark = needs_openldap
ENZI = "/enzi/v0/accounts"
LDAP = "/enzi/v0/config/auth/ldap"
BUILDERS, OWNERS, ADMINS = (f"cn={name},{GROUPS}" for name in ("builders", "owners", "admins"))

on_one_database = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
"""For what asks the database nothing new."""


class Log:
    """What a job tells, in place of its context."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def log(self, *lines: str) -> None:
        self.lines += lines

    async def progress(self, done: int, total: int) -> None: ...

    def check(self) -> None: ...

    def about(self, word: str) -> str:
        return "\n".join(line for line in self.lines if word in line)


class Joined:
    """The doors, and a directory that their accounts come from."""

    def __init__(self, doors: Doors, server: OpenLdap) -> None:
        self.doors, self.server = doors, server

    async def done(self, method: str, path: str, **more: Any) -> Any:
        async with self.doors.client("admin") as client:
            answer = await client.request(method, path, **more)
        assert answer.status_code in {200, 201, 202, 204}, answer.text
        return answer.json() if answer.content else None

    async def use(self, **more: Any) -> None:
        search = {"baseDN": PEOPLE, "usernameAttr": "uid", "fullNameAttr": "cn"}
        document = {"serverURL": self.server.url, "readerDN": READER, "readerPassword": READER_PASSWORD}
        await self.done("PUT", LDAP, json={**document, "userSearchConfigs": [search], **more})
        await self.done("PUT", "/enzi/v0/config/auth", json={"backend": "ldap"})

    async def sync(self) -> Log:
        log = Log()
        await handlers(self.doors.parts)["ldap-sync"](None, log)  # type: ignore[arg-type]  # it reads neither
        return log

    async def status(self, name: str, password: str = PASSWORD) -> int:
        """Of signing in."""
        async with self.doors.client(name, password) as client:
            return (await client.get("/auth/token", params={"service": SERVICE})).status_code

    async def members(self, path: str) -> list[str]:
        return [item["member"]["name"] for item in (await self.done("GET", f"{ENZI}/{path}/members"))["members"]]


@pytest.fixture
def server() -> Iterator[OpenLdap]:
    running = OpenLdap(
        [
            *(person(f"user{number}", number) for number in range(5)),
            person("alice", 100),  # a local account has that name
            group("builders", [dn("user1"), dn("user2")]),
            group("owners", [dn("user0")]),
            group("admins", [dn("user3")]),
        ]
    )
    yield running
    running.close()


@pytest_asyncio.fixture
async def joined(doors: Doors, server: OpenLdap) -> AsyncIterator[Joined]:
    joined = Joined(doors, server)
    await joined.done("POST", ENZI, json={"name": "acme", "isOrg": True})
    await joined.done("POST", f"{ENZI}/acme/teams", json={"name": "builders"})
    yield joined


@on_one_database
async def test_a_user_signs_in_and_has_an_account_from_then_on(joined: Joined) -> None:
    assert await joined.status("user1") == 401  # LDAP is not used yet
    await joined.use()
    assert await joined.status("user1", "wrong") == 401
    assert await joined.status("user1", "") == 401
    assert await joined.status("user1") == 200
    account = await joined.done("GET", f"{ENZI}/user1")
    assert (account["fullName"], account["isImported"], account["isAdmin"]) == ("Full Name 1", True, False)
    async with joined.doors.client("user1", PASSWORD) as client:
        assert (await client.post("/api/v0/repositories/user1", json={"name": "own"})).status_code == 201
        change = {"oldPassword": PASSWORD, "newPassword": "another password"}
        assert (await client.post(f"{ENZI}/user1/changePassword", json=change)).status_code == 400


@on_one_database
async def test_a_local_account_is_never_taken_over(joined: Joined) -> None:
    await joined.use()
    assert await joined.status("alice") == 401
    assert await joined.status("alice", LOCAL_PASSWORD) == 200
    log = await joined.sync()
    assert "made here" in log.about("alice:")
    assert (await joined.done("GET", f"{ENZI}/alice"))["isImported"] is False


@on_one_database
async def test_a_directory_that_is_away_lets_nobody_in_and_says_so(joined: Joined) -> None:
    await joined.use()
    assert await joined.status("user1") == 200
    async with joined.doors.client("user1", PASSWORD) as client:
        token = (await client.post("/api/v0/api_tokens", json={})).json()["token"]
    joined.server.stop()
    joined.doors.parts.directory._right.clear()
    joined.doors.parts.directory._there.clear()
    assert await joined.status("user1") == 503
    assert await joined.status("user4") == 503
    assert await joined.status("user1", token) == 503
    assert await joined.status("alice", LOCAL_PASSWORD) == 200
    assert await joined.status("admin", LOCAL_PASSWORD) == 200
    joined.server.start()
    assert await joined.status("user1") == 200


@on_one_database
async def test_whom_the_directory_lost_is_out_at_the_next_request(joined: Joined) -> None:
    await joined.use()
    assert await joined.status("user1") == 200
    async with joined.doors.client("user1", PASSWORD) as client:
        token = (await client.post("/api/v0/api_tokens", json={})).json()["token"]
    assert await joined.status("user1", token) == 200
    joined.server.delete(dn("user1"))
    joined.doors.parts.directory._right.clear()
    joined.doors.parts.directory._there.clear()
    assert await joined.status("user1") == 401
    assert await joined.status("user1", token) == 401


@on_one_database
async def test_registry_tokens_of_a_directorys_users_are_short(joined: Joined) -> None:
    await joined.use()
    async with joined.doors.client("user1", PASSWORD) as client:
        answer = await client.get("/auth/token", params={"service": SERVICE})
    assert answer.json()["expires_in"] <= 60


async def test_a_sync_makes_changes_and_shuts_out(joined: Joined) -> None:
    await joined.use(jitUserProvisioning=False)
    assert await joined.status("user1") == 401  # not made yet, and not made by signing in
    log = await joined.sync()
    assert "5 made" in log.about("users found")
    assert await joined.status("user1") == 200
    assert "5 left alone" in (await joined.sync()).about("users found")
    joined.server.delete(dn("user4"))
    joined.server.replace(dn("user2"), "cn", ["Another Name"])
    log = await joined.sync()
    assert "shut out" in log.about("user4:")
    assert (await joined.done("GET", f"{ENZI}/user2"))["fullName"] == "Another Name"
    assert (await joined.done("GET", f"{ENZI}/user4"))["isActive"] is False
    joined.server.add(dn("user4"), "inetOrgPerson", uid="user4", cn="Back", sn="x", userPassword=PASSWORD)
    assert "let in again" in (await joined.sync()).about("user4:")
    assert await joined.status("user4") == 200
    await joined.done("PATCH", f"{ENZI}/user4", json={"isActive": False})
    assert "an administrator shut it out" in (await joined.sync()).about("user4:")
    assert (await joined.done("GET", f"{ENZI}/user4"))["isActive"] is False


async def test_teams_owners_and_administrators_follow_the_directory(joined: Joined) -> None:
    await joined.use(
        jitUserProvisioning=False, adminSyncOpts={"enableSync": True, "groupDN": ADMINS, "groupMemberAttr": "member"}
    )
    await joined.done("PUT", f"{ENZI}/acme/teams/builders/members/bob", json={})  # a local user
    sync = {"enableSync": True, "groupDN": BUILDERS, "groupMemberAttr": "member"}
    put = await joined.done("PUT", f"{ENZI}/acme/teams/builders/memberSyncConfig", json=sync)
    assert put["groupDN"] == BUILDERS
    await joined.done("PUT", f"{ENZI}/acme/adminMemberSyncConfig", json={**sync, "groupDN": OWNERS})
    log = await joined.sync()
    assert "2 members there, 2 here: 2 added" in log.about("acme/builders:")
    assert await joined.members("acme/teams/builders") == ["bob", "user1", "user2"]
    assert await joined.members("acme") == ["bob", "user0", "user1", "user2"]
    owners = await joined.done("GET", f"{ENZI}/acme/members", params={"filter": "admins"})
    assert [item["member"]["name"] for item in owners["members"]] == ["user0"]
    assert (await joined.done("GET", f"{ENZI}/user3"))["isAdmin"] is True
    async with joined.doors.client("admin") as admin:
        answer = await admin.delete(f"{ENZI}/acme/teams/builders/members/user1")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "MEMBER_IS_SYNCED")
        assert (await admin.put(f"{ENZI}/acme/teams/builders/members/user4", json={})).status_code == 409
        assert (await admin.delete(f"{ENZI}/acme/teams/builders/members/bob")).status_code == 204
    joined.server.replace(BUILDERS, "member", [dn("user2"), dn("user4")])
    joined.server.replace(ADMINS, "member", [dn("user2")])
    await joined.sync()
    assert await joined.members("acme/teams/builders") == ["user2", "user4"]
    admins = await joined.done("GET", ENZI, params={"filter": "admins"})
    assert [item["name"] for item in admins["accounts"]] == ["admin", "user2"]


@on_one_database
async def test_attack_20_whom_a_group_dropped_can_not_pull_any_more(joined: Joined) -> None:
    """CVE-2025-23208: bearer tokens already out included."""
    await joined.use(jitUserProvisioning=False)
    sync = {"enableSync": True, "groupDN": BUILDERS, "groupMemberAttr": "member"}
    await joined.done("PUT", f"{ENZI}/acme/teams/builders/memberSyncConfig", json=sync)
    await joined.done("POST", "/api/v0/repositories/acme", json={"name": "app"})
    path = "/api/v0/repositories/acme/app/teamAccess/builders"
    await joined.done("PUT", path, json={"accessLevel": "read-write"})
    await joined.sync()
    scope = {"service": SERVICE, "scope": "repository:acme/app:pull"}
    async with joined.doors.client("user1", PASSWORD) as client:
        token = (await client.get("/auth/token", params=scope)).json()["token"]
    holder = joined.doors.client(headers={"Authorization": f"Bearer {token}"})
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 200
    joined.server.replace(BUILDERS, "member", [dn("user2")])
    await joined.sync()
    assert (await holder.get("/v2/acme/app/tags/list")).status_code == 401


async def test_a_failed_sync_changes_nothing(joined: Joined) -> None:
    await joined.use(jitUserProvisioning=False)
    await joined.sync()
    joined.server.delete(dn("user1"))
    joined.server.stop()
    with pytest.raises(LadingError):
        await joined.sync()
    assert (await joined.done("GET", f"{ENZI}/user1"))["isActive"] is True
    joined.server.start()
    await joined.sync()
    assert (await joined.done("GET", f"{ENZI}/user1"))["isActive"] is False


@on_one_database
async def test_a_team_that_stays_empty_is_told_why(joined: Joined) -> None:
    await joined.use()  # accounts are made at the first sign-in only
    sync = {"enableSync": True, "groupDN": BUILDERS, "groupMemberAttr": "member"}
    await joined.done("PUT", f"{ENZI}/acme/teams/builders/memberSyncConfig", json=sync)
    assert "have not signed in yet" in (await joined.sync()).about("acme/builders:")
    await joined.done(
        "PUT", f"{ENZI}/acme/teams/builders/memberSyncConfig", json={**sync, "groupMemberAttr": "uniqueMember"}
    )
    assert "groupMemberAttr" in (await joined.sync()).about("acme/builders:")
    nothing = {**sync, "groupDN": f"cn=nothing,{GROUPS}"}
    await joined.done("PUT", f"{ENZI}/acme/teams/builders/memberSyncConfig", json=nothing)
    log = Log()
    with pytest.raises(LadingError, match="acme/builders"):
        await handlers(joined.doors.parts)["ldap-sync"](None, log)  # type: ignore[arg-type]
    assert "no group" in log.about("acme/builders:")


@on_one_database
async def test_settings_hide_the_password_and_a_login_can_be_tried(joined: Joined) -> None:
    await joined.use()
    shown = await joined.done("GET", LDAP)
    assert "readerPassword" not in shown
    assert READER_PASSWORD not in str(shown)
    tried = await joined.done("POST", f"{LDAP}/tryLogin", json={"username": "user1", "password": PASSWORD})
    assert (tried["dn"], tried["passwordIsRight"]) == (dn("user1"), True)
    assert (await joined.done("POST", f"{LDAP}/tryLogin", json={"username": "nobody"}))["found"] is False
    # Put back as it was shown, the password stays; sent elsewhere it is not.
    await joined.done("PUT", LDAP, json=shown)
    assert (await joined.done("POST", f"{LDAP}/tryLogin", json={"username": "user1"}))["found"] is True
    elsewhere = {**shown, "serverURL": joined.server.ldaps_url, "tlsSkipVerify": True}
    told = await joined.done("POST", f"{LDAP}/tryLogin", json={"username": "user1", "settings": elsewhere})
    assert told["found"] is False


@on_one_database
@pytest.mark.parametrize(
    "document",
    [
        {"serverURL": "http://localhost"},
        {"serverURL": "ldap://"},
        {"unknown": 1},
        {"syncSchedule": "not a schedule"},
        {"rootCerts": "not PEM"},
        {"userSearchConfigs": [{"usernameAttr": ""}]},
        {"additionalDomains": [{"domain": "dc=x"}]},
        {"adminSyncOpts": {"enableSync": True}},
    ],
    ids=lambda document: next(iter(document)),
)
async def test_settings_that_can_not_be_are_refused(doors: Doors, document: dict[str, Any]) -> None:
    async with doors.client("admin") as admin:
        answer: httpx.Response = await admin.put(LDAP, json=document)
        assert answer.status_code == 400, answer.text
        assert (await admin.put("/enzi/v0/config/auth", json={"backend": "ldap"})).status_code == 400
    async with doors.client("alice") as alice:
        assert (await alice.put(LDAP, json={})).status_code == 403
        assert (await alice.get(LDAP)).status_code == 403
        assert (await alice.post(f"{LDAP}/tryLogin", json={"username": "x"})).status_code == 403


# --- what would give an account to the wrong one, or take away too much --------------------------------------------------

FIRST, SECOND = f"ou=first,{PEOPLE}", f"ou=second,{PEOPLE}"


def add_two_named_ann(server: OpenLdap) -> list[dict[str, Any]]:
    """Two of one name in two places; the searches by which they are found."""
    for place, domain in ((FIRST, "first.test"), (SECOND, "second.test")):
        server.add(place, "organizationalUnit")
        who = {"cn": "ann", "sn": "x", "mail": f"ann@{domain}", "userPassword": f"password at {domain}"}
        server.add(f"cn=ann,{place}", "inetOrgPerson", **who)
    return [{"baseDN": place, "usernameAttr": "mail"} for place in (FIRST, SECOND)]


@on_one_database
async def test_of_two_of_one_name_the_second_never_gets_the_firsts_account(joined: Joined) -> None:
    searches = add_two_named_ann(joined.server)
    await joined.use(userSearchConfigs=searches)
    assert await joined.status("ann@first.test", "password at first.test") == 200
    assert await joined.status("ann", "password at first.test") == 200
    assert await joined.status("ann@second.test", "password at second.test") == 401
    assert await joined.status("ann", "password at second.test") == 401
    # Nor when the searches change places while the first one is there.
    await joined.use(userSearchConfigs=searches[::-1])
    assert await joined.status("ann", "password at second.test") == 401
    joined.server.delete(f"cn=ann,{FIRST}")
    assert await joined.status("ann", "password at second.test") == 200


@on_one_database
@pytest.mark.parametrize("just_in_time", [True, False], ids=["just in time", "synced"])
async def test_who_is_called_otherwise_at_the_same_place_gets_a_new_account(
    joined: Joined, *, just_in_time: bool
) -> None:
    searches = add_two_named_ann(joined.server)
    await joined.use(userSearchConfigs=searches[:1], jitUserProvisioning=just_in_time)
    await joined.sync()
    assert await joined.status("ann", "password at first.test") == 200
    joined.server.replace(f"cn=ann,{FIRST}", "mail", ["berta@first.test"])
    log = await joined.sync()
    assert await joined.status("berta", "password at first.test") == 200
    joined.doors.parts.directory._right.clear()
    joined.doors.parts.directory._there.clear()
    assert await joined.status("ann", "password at first.test") == 401
    if not just_in_time:
        assert "made" in log.about("berta:")
        assert "shut out" in log.about("ann:")


@on_one_database
async def test_searches_that_find_nobody_shut_nobody_out(joined: Joined) -> None:
    await joined.use(jitUserProvisioning=False)
    await joined.sync()
    await joined.use(
        jitUserProvisioning=False, userSearchConfigs=[{"baseDN": PEOPLE, "filter": "(objectClass=device)"}]
    )
    with pytest.raises(LadingError, match="find nobody, and 5 active"):
        await joined.sync()
    assert (await joined.done("GET", f"{ENZI}/user1"))["isActive"] is True
    await joined.use(jitUserProvisioning=False, userSearchConfigs=[{"baseDN": f"ou=nothing,{PEOPLE}"}])
    with pytest.raises(LadingError, match=f"has no ou=nothing,{PEOPLE}"):
        await joined.sync()


@on_one_database
async def test_what_is_wrong_with_the_directory_is_not_told_to_those_who_sign_in(joined: Joined) -> None:
    await joined.use(readerPassword="not the reader's")
    async with joined.doors.client("user1", PASSWORD) as client:
        answer = await client.get("/auth/token", params={"service": SERVICE})
    assert answer.status_code == 503
    for word in ("reader", "localhost", "ldap", "dc="):
        assert word not in answer.text


@on_one_database
async def test_refusals_wait_whether_the_directory_knows_the_name_or_not(
    joined: Joined, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def recorded(elapsed: float) -> float:
        waited.append(elapsed)
        return 0

    monkeypatch.setattr(sign_in, "seconds_to_next_step", recorded)
    assert await joined.status("bob", "wrong") == 401
    assert waited == []  # without a directory all names take argon2's time
    await joined.use()
    for name in ("user1", "nobody", "bob"):
        assert await joined.status(name, "wrong") == 401
    assert len(waited) == 3
    assert await joined.status("user1") == 200
    assert len(waited) == 3


@on_one_database
async def test_a_new_account_waits_for_a_sync_that_puts_it_into_its_teams(joined: Joined) -> None:
    await joined.use()
    sync = {"enableSync": True, "groupDN": BUILDERS, "groupMemberAttr": "member"}
    await joined.done("PUT", f"{ENZI}/acme/teams/builders/memberSyncConfig", json=sync)
    for name in ("user1", "user2"):
        assert await joined.status(name) == 200
    jobs = await joined.done("GET", "/api/v0/jobs", params={"action": "ldap-sync"})
    assert [job["status"] for job in jobs["jobs"]] == ["waiting"]
    await joined.sync()
    assert await joined.members("acme/teams/builders") == ["user1", "user2"]


@on_one_database
async def test_who_is_in_no_synced_team_any_more_leaves_the_organization_and_a_sync_switched_off_leaves_all(
    joined: Joined,
) -> None:
    await joined.use(jitUserProvisioning=False)
    sync = {"enableSync": True, "groupDN": BUILDERS, "groupMemberAttr": "member"}
    path = f"{ENZI}/acme/teams/builders/memberSyncConfig"
    await joined.done("PUT", path, json=sync)
    await joined.sync()
    joined.server.replace(BUILDERS, "member", [dn("user2")])
    assert "1 members left" in (await joined.sync()).about("acme:")
    assert await joined.members("acme") == ["user2"]
    await joined.done("PUT", path, json={**sync, "enableSync": False})
    assert await joined.members("acme/teams/builders") == ["user2"]
    await joined.done("DELETE", f"{ENZI}/acme/teams/builders/members/user2")
    await joined.done("DELETE", f"{ENZI}/acme/members/user2")


@on_one_database
async def test_the_last_administrator_stays_one(joined: Joined) -> None:
    admins = {"enableSync": True, "groupDN": ADMINS, "groupMemberAttr": "member"}
    await joined.use(jitUserProvisioning=False, adminSyncOpts=admins)
    await joined.sync()
    async with joined.doors.client("user3", PASSWORD) as client:
        assert (await client.patch(f"{ENZI}/admin", json={"isAdmin": False})).status_code == 200
    joined.server.replace(ADMINS, "member", [dn("gone")])
    assert "user3 stays one" in (await joined.sync()).about("administrators:")
    joined.server.delete(dn("user3"))
    assert "last administrator" in (await joined.sync()).about("user3: left in")


@on_one_database
async def test_a_tried_login_says_why_a_name_is_not_found(joined: Joined) -> None:
    search = {"baseDN": PEOPLE, "filter": "(cn=Full Name 1)"}
    builders = {"baseDN": PEOPLE, "matchGroup": True, "matchGroupDN": BUILDERS}
    await joined.use(userSearchConfigs=[search, builders])
    sync = {"enableSync": True, "groupDN": BUILDERS, "groupMemberAttr": "member"}
    await joined.done("PUT", f"{ENZI}/acme/teams/builders/memberSyncConfig", json=sync)
    told = await joined.done("POST", f"{LDAP}/tryLogin", json={"username": "user4"})
    assert "the filter (cn=Full Name 1) leaves it out" in told["searches"][0]
    assert f"not in the group {BUILDERS}" in told["searches"][1]
    told = await joined.done("POST", f"{LDAP}/tryLogin", json={"username": "nobody"})
    assert "no entry has (uid=nobody)" in told["searches"][0]
    told = await joined.done("POST", f"{LDAP}/tryLogin", json={"username": "user2"})
    assert told["belongsTo"] == [{"name": "acme/builders", "isMember": True}]
