"""Access tokens, accounts, settings and state, over both databases."""

import json

import pytest
from sqlalchemy import select, update

from lading import __version__
from lading.accounts.passwords import HashParameters, Passwords
from lading.accounts.tables import accounts
from lading.core.errors import UnauthenticatedError
from lading.events.tables import events
from support.apps import PASSWORD, SERVICE, Doors


async def test_an_access_token_stands_in_for_the_password_until_it_is_revoked(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        made = (await alice.post("/api/v0/api_tokens", json={"tokenLabel": "ci"})).json()
        path = f"/api/v0/api_tokens/{made['hashedToken']}"
        listed = (await alice.get("/api/v0/api_tokens")).json()
        assert [item["hashedToken"] for item in listed] == [made["hashedToken"]]
        assert "token" not in listed[0]
        assert made["token"] not in json.dumps(listed)
    async with doors.client() as anonymous:
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert (await anonymous.get(path, headers=bearer)).status_code == 200
        assert (await anonymous.get(path, params={"refresh_token": made["token"]})).status_code == 200
    async with doors.client("alice", made["token"]) as by_token, doors.client("bob", made["token"]) as bob:
        assert (await by_token.get(path)).json()["generatedBy"] == "user"
        assert (await bob.get(path)).status_code == 401
        assert (await by_token.patch(path, json={"isActive": False})).status_code == 200
        assert (await by_token.get(path)).status_code == 401
    async with doors.client("alice") as alice:
        assert (await alice.patch(path, json={"isActive": True, "tokenLabel": "x"})).json()["tokenLabel"] == "x"
        assert (await alice.delete(path)).status_code == 200
        assert (await alice.get(path)).json()["errors"][0]["code"] == "NO_SUCH_API_TOKEN"


async def test_a_token_of_somebody_else_does_not_exist(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client("bob") as bob, doors.client("admin") as admin:
        made = (await alice.post("/api/v0/api_tokens", json={})).json()
        theirs, none = f"/api/v0/api_tokens/{made['hashedToken']}", f"/api/v0/api_tokens/{'0' * 64}"
        for method, body in (("GET", None), ("DELETE", None), ("PATCH", {})):
            hidden, missing = [await bob.request(method, path, json=body) for path in (theirs, none)]
            assert (hidden.status_code, hidden.json()["errors"]) == (404, missing.json()["errors"])
        assert (await bob.get("/api/v0/api_tokens")).json() == []
        named, nobody = [await bob.get("/api/v0/api_tokens", params={"username": name}) for name in ("alice", "alicf")]
        assert named.status_code == nobody.status_code == 404
        assert len((await admin.get("/api/v0/api_tokens", params={"username": "alice"})).json()) == 1


async def test_a_password_hashed_by_other_parameters_is_hashed_anew_at_its_owners_sign_in(doors: Doors) -> None:
    """Who makes the parameters stronger need not ask everybody for a new password."""
    weaker = Passwords(HashParameters(memory_kib=16, iterations=1, lanes=1)).hash_now(PASSWORD)
    is_alice = accounts.c.name == "alice"
    async with doors.database.write() as unit:
        await unit.execute(update(accounts).where(is_alice).values(password_hash=weaker))
    async with doors.client("alice", "wrong") as stranger:
        assert (await stranger.get("/auth/token", params={"service": SERVICE})).status_code == 401
    async with doors.database.read() as connection:
        assert await connection.scalar(select(accounts.c.password_hash).where(is_alice)) == weaker
    async with doors.client("alice") as alice:
        for _ in range(2):
            assert (await alice.get("/auth/token", params={"service": SERVICE})).status_code == 200
    async with doors.database.read() as connection:
        kept = await connection.scalar(select(accounts.c.password_hash).where(is_alice))
    assert str(kept).startswith("$argon2id$v=19$m=8192,t=1,p=1$")


async def test_a_users_settings_stay_as_they_were_set(doors: Doors) -> None:
    path = "/api/v0/accounts/alice/settings"
    async with doors.client("alice") as alice, doors.client("bob") as bob, doors.client("admin") as admin:
        first = (await alice.get(path)).json()
        assert list(first) == ["ContentCacheUUID"]
        changed = await alice.patch(path, json={"contentCacheUUID": "5b8f"})
        assert (changed.status_code, changed.json()) == (200, {"ContentCacheUUID": "5b8f"})
        assert (await alice.patch(path, json={})).json() == (await admin.get(path)).json() == changed.json()
        for answer in (await bob.get(path), await bob.patch(path, json={"contentCacheUUID": "1"})):
            assert answer.status_code in {403, 404}
        assert (await alice.get(path)).json() == changed.json()


async def test_attack_16_server_owned_fields_are_refused(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client("admin") as admin:
        own = "/enzi/v0/accounts/alice"
        assert (await alice.patch(own, json={"isAdmin": True})).status_code == 403
        for field in ("is_admin", "id", "epoch", "credential_epoch", "password_hash", "isImported", "name"):
            assert (await alice.patch(own, json={field: True})).status_code == 400
            form = {"name": "eve", "password": PASSWORD, field: "1"}
            wanted = 201 if field == "name" else 400
            form["name"] = "eve" if field != "name" else "mallory"
            assert (await admin.post("/enzi/v0/accounts", json=form)).status_code == wanted
        assert (await alice.post("/enzi/v0/accounts", json={"name": "eve", "isAdmin": True})).status_code == 403
        assert (await alice.post("/api/v0/api_tokens", json={"generatedBy": "auto"})).status_code == 400
        account = (await alice.get(own)).json()
        assert account["isAdmin"] is False
        assert "password" not in json.dumps(account)


async def test_the_last_administrator_stays(doors: Doors) -> None:
    async with doors.client("admin") as admin:
        for change in ({"isActive": False}, {"isAdmin": False}):
            assert (await admin.patch("/enzi/v0/accounts/admin", json=change)).status_code == 409
        assert (await admin.patch("/enzi/v0/accounts/alice", json={"isAdmin": True})).status_code == 200
        assert (await admin.patch("/enzi/v0/accounts/admin", json={"isAdmin": False})).status_code == 200


async def test_a_disabled_user_and_his_tokens_are_out_at_once(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client("admin") as admin:
        answer = await alice.get("/auth/token", params={"service": SERVICE})
        read = doors.authenticator.read_token(answer.json()["token"])
        assert (await doors.authenticator.principal_of(read.account_id, read.epoch)).name == "alice"
        assert (await admin.patch("/enzi/v0/accounts/alice", json={"isActive": False})).status_code == 200
        assert (await alice.get("/api/v0/api_tokens")).status_code == 401
        with pytest.raises(UnauthenticatedError):
            await doors.authenticator.principal_of(read.account_id, read.epoch)


async def test_a_new_password_ends_what_the_old_one_began(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        path = "/enzi/v0/accounts/alice/changePassword"
        answer = await alice.get("/auth/token", params={"service": SERVICE, "offline_token": "true"})
        read = doors.authenticator.read_token(answer.json()["token"])
        refused = await alice.post(path, json={"oldPassword": "wrong one", "newPassword": "another password"})
        assert refused.status_code == 401
        short = await alice.post(path, json={"oldPassword": PASSWORD, "newPassword": "short"})
        assert short.status_code == 400
        changed = await alice.post(path, json={"oldPassword": PASSWORD, "newPassword": "another password"})
        assert changed.status_code == 200
        assert (await alice.get("/api/v0/api_tokens")).status_code == 401
        with pytest.raises(UnauthenticatedError):
            await doors.authenticator.principal_of(read.account_id, read.epoch)
    async with doors.client() as anonymous:
        form = {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"], "service": SERVICE}
        assert (await anonymous.post("/auth/token", data=form)).status_code == 401


async def test_accounts_are_listed_for_administrators_only(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client("admin") as admin:
        assert (await alice.get("/enzi/v0/accounts")).status_code == 403
        assert (await alice.get("/enzi/v0/accounts/bob")).status_code == 404
        page = (await admin.get("/enzi/v0/accounts", params={"limit": 2})).json()
        assert [item["name"] for item in page["accounts"]] == ["admin", "alice"]
        assert (page["nextPageStart"], page["usersCount"], page["orgsCount"]) == ("bob", 3, 0)
        admins = (await admin.get("/enzi/v0/accounts", params={"filter": "admins"})).json()
        assert [item["name"] for item in admins["accounts"]] == ["admin"]


async def test_settings_are_changed_by_administrators_and_pinned_ones_by_nobody(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client("admin") as admin:
        path = "/api/v0/meta/settings"
        assert (await alice.get(path)).status_code == 403
        assert (await alice.post(path, json={"readOnlyRegistry": True})).status_code == 403
        assert (await admin.post(path, json={"createRepositoryOnPush": True})).status_code == 202
        assert (await admin.get(path)).json()["createRepositoryOnPush"] is True
        for form in ({"anonymousAccess": False}, {"nonsense": 1}, {"sso": True}, {"readOnlyRegistry": "yes"}):
            answer = await admin.post(path, json=form)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "INVALID_SETTINGS")
        assert "registry.anonymous_access" in (await admin.post(path, json={"anonymousAccess": False})).text
        assert (await admin.post(path, json={"sso": False})).status_code == 202
    async with doors.database.read() as connection:
        told = list(await connection.scalars(select(events.c.content).where(events.c.object_type == "SETTINGS")))
    assert told[0] == "createRepositoryOnPush=true"


async def test_the_state_of_the_cluster_is_told_to_administrators(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client("admin") as admin:
        path = "/api/v0/meta/cluster_status"
        assert (await alice.get(path)).status_code == 403
        document = (await admin.get(path)).json()
        assert document["rethink_system_tables"]["current_issues"] == []
        assert set(document["replica_health"]) == set(document["replica_timestamp"]) == {"0123456789ab"}
        assert document["replica_readonly"] == {"0123456789ab": False}
        assert document["gc_lock_holder"] == ""
        assert (await alice.get("/api/v0/admin/version")).json() == {"version": __version__}
        assert (await alice.get("/api/v0/meta/features")).json()["onlineGCEnabled"] is True
