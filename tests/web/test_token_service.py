"""The token service, over both databases. Source: Docker registry token authentication specification, and its OAuth2 form."""

import base64
from typing import Any

import httpx
import pytest

from support.apps import PASSWORD, SERVICE, Doors

REPOSITORY = "/api/v0/repositories"


async def claims_of(doors: Doors, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["token"] == document["access_token"]
    assert 60 <= document["expires_in"] <= 300
    assert document["issued_at"].endswith("Z")
    return doors.authenticator._signer.verify(document["token"], doors.authenticator._clock.now())


async def access_of(doors: Doors, client: httpx.AsyncClient, *scopes: str) -> dict[str, list[str]]:
    claims = await claims_of(doors, await client.get("/auth/token", params={"service": SERVICE, "scope": list(scopes)}))
    return {item["name"]: item["actions"] for item in claims["access"]}


async def test_a_token_names_its_holder_and_holds_only_what_is_granted(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client("bob") as bob, doors.client() as anonymous:
        for name, visibility in (("public", "public"), ("private", "private")):
            made = await alice.post(f"{REPOSITORY}/alice", json={"name": name, "visibility": visibility})
            assert made.status_code == 201
        both = "repository:alice/public:pull,push repository:alice/private:pull,push"
        assert await access_of(doors, alice, both) == {
            "alice/public": ["pull", "push"],
            "alice/private": ["pull", "push"],
        }
        assert await access_of(doors, bob, *both.split()) == {"alice/public": ["pull"], "alice/private": []}
        assert await access_of(doors, anonymous, both) == {"alice/public": ["pull"], "alice/private": []}
        assert await access_of(doors, bob, "repository:alice/nothing:pull") == {"alice/nothing": []}
        claims = await claims_of(doors, await alice.get("/auth/token", params={"service": SERVICE}))
        assert (claims["sub"], claims["aud"], claims["iss"], claims["access"]) == ("alice", SERVICE, SERVICE, [])


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("repository:alice/new:pull,push", {"alice/new": ["pull", "push"]}),
        ("repository:alice/new:*", {"alice/new": ["pull", "push", "delete", "*"]}),
        ("repository:bob/x:*", {"bob/x": []}),
        ("repository(plugin):alice/new:pull", {"alice/new": ["pull"]}),
        (f"repository:{SERVICE}/alice/new:pull", {"alice/new": ["pull"], f"{SERVICE}/alice/new": ["pull"]}),
        ("repository:other.host/alice/new:pull", {"other.host/alice/new": []}),
        ("registry:catalog:*", {"catalog": ["*"]}),
        ("registry:nothing:*", {}),
        ("unknown:alice/new:pull", {}),
        ("repository:alice/new:fly", {"alice/new": []}),
        ("repository:Alice/../x:pull", {}),
        ("repository:alicex/y:pull repository:alice/new:pull", {"alicex/y": [], "alice/new": ["pull"]}),
        ("nonsense", {}),
    ],
)
async def test_scopes_become_grants(doors: Doors, scope: str, granted: dict[str, list[str]]) -> None:
    async with doors.client("alice") as alice:
        assert await access_of(doors, alice, scope) == granted


async def test_a_refresh_token_is_an_access_token_that_can_be_revoked(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client() as anonymous:
        first = await alice.get("/auth/token", params={"service": SERVICE, "offline_token": "true"})
        form = {"grant_type": "refresh_token", "refresh_token": first.json()["refresh_token"], "service": SERVICE}
        form |= {"client_id": "docker", "scope": "repository:alice/x:pull"}
        claims = await claims_of(doors, await anonymous.post("/auth/token", data=form))
        assert (claims["sub"], claims["access"][0]["actions"]) == ("alice", ["pull"])
        listed = (await alice.get("/api/v0/api_tokens")).json()
        assert [item["generatedBy"] for item in listed] == ["auto"]
        assert (await alice.delete("/api/v0/api_tokens")).status_code == 200
        assert (await anonymous.post("/auth/token", data=form)).status_code == 401


async def test_the_oauth2_form_takes_a_password(doors: Doors) -> None:
    async with doors.client() as anonymous:
        form = {"grant_type": "password", "username": "alice", "password": PASSWORD, "service": SERVICE}
        form |= {"client_id": "docker", "access_type": "offline", "scope": "repository:alice/x:pull,push"}
        answer = await anonymous.post("/auth/token", data=form)
        assert (await claims_of(doors, answer))["sub"] == "alice"
        assert answer.json()["refresh_token"].startswith("lading_at_")
        assert (await anonymous.post("/auth/token", data={**form, "password": "wrong"})).status_code == 401
        assert (await anonymous.post("/auth/token", data={**form, "grant_type": "magic"})).status_code == 400
        assert (await anonymous.put("/auth/token")).status_code == 405


@pytest.mark.parametrize(
    "credentials",
    ["alice:wrong", "nobody:wrong", "nobody\0:x", ":x", f"Alice:{PASSWORD}", "alice:", f"alice:{PASSWORD} "],
)
async def test_attack_22_wrong_credentials_answer_alike(doors: Doors, credentials: str) -> None:
    header = "Basic " + base64.b64encode(credentials.encode()).decode()
    async with doors.client() as anonymous:
        answer = await anonymous.get("/auth/token", headers={"Authorization": header}, params={"service": SERVICE})
        assert answer.status_code == 401
        assert answer.json()["errors"] == [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]
        assert answer.headers["www-authenticate"].startswith("Basic realm=")


async def test_another_service_gets_no_token(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        assert (await alice.get("/auth/token", params={"service": "evil.example"})).status_code == 400


async def test_too_many_scopes_are_refused(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        scopes = [f"repository:alice/r{number}:pull" for number in range(101)]
        answer = await alice.get("/auth/token", params={"service": SERVICE, "scope": " ".join(scopes)})
        assert answer.status_code == 400


async def test_attack_22_guesses_are_slowed_down_and_the_owner_elsewhere_is_not(doors: Doors) -> None:
    sign_in = doors.token.sign_in
    async with doors.client("alice", "wrong") as guesser:
        statuses = [(await guesser.get("/auth/token")).status_code for _ in range(12)]
        assert statuses[:3] == [401] * 3
        last = await guesser.get("/auth/token")
        assert (last.status_code, last.json()["errors"][0]["code"]) == (429, "TOOMANYREQUESTS")
        assert int(last.headers["retry-after"]) >= 1
    assert (await sign_in.by_secret("alice", PASSWORD, address="192.0.2.1")).account.name == "alice"
