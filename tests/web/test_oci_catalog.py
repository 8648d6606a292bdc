"""The catalog shows what the caller may see. Source: Docker registry HTTP API v2, "Catalog"."""

import httpx
import pytest

from support.apps import Doors, follow_links

SCOPE = "registry:catalog:*"
ALICES = ["alice/a", "alice/a-public", "alice/a/deep"]


@pytest.fixture
async def full(doors: Doors) -> Doors:
    for name in (*ALICES, "bob/private", "bob/public"):
        await doors.repository(name, visibility="public" if "public" in name else "private")
    return doors


async def names(client: httpx.AsyncClient, **query: str) -> list[str]:
    answer = await client.get("/v2/_catalog", params=query)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"repositories"}
    listed: list[str] = answer.json()["repositories"]
    return listed


async def test_everyone_sees_his_own_and_the_public_ones_in_order(full: Doors) -> None:
    assert await names(await full.holder("alice", SCOPE)) == [*ALICES, "bob/public"]
    assert await names(await full.holder("bob", SCOPE)) == ["alice/a-public", "bob/private", "bob/public"]
    assert await names(await full.holder("admin", SCOPE)) == [*ALICES, "bob/private", "bob/public"]


async def test_strangers_and_tokens_of_other_scopes_are_challenged(full: Doors) -> None:
    for client in (full.client(), await full.holder(None, SCOPE), await full.holder("alice", "repository:alice/a:*")):
        answer = await client.get("/v2/_catalog")
        assert answer.status_code == 401
        assert f'scope="{SCOPE}"' in answer.headers["www-authenticate"]


async def test_links_lead_through_the_catalog(full: Doors) -> None:
    answers = await follow_links(await full.holder("admin", SCOPE), "/v2/_catalog?n=2")
    found = [answer.json()["repositories"] for answer in answers]
    assert found == [ALICES[:2], [ALICES[2], "bob/private"], ["bob/public"]]


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ({"n": "0"}, []),
        ({"n": "1", "last": "alice/a"}, ["alice/a-public"]),
        ({"last": "alice/b"}, ["bob/public"]),
        ({"last": "zzz"}, []),
        ({"n": "1000000000000"}, [*ALICES, "bob/public"]),
    ],
)
async def test_a_page_begins_after_last_and_holds_n(full: Doors, query: dict[str, str], listed: list[str]) -> None:
    assert await names(await full.holder("alice", SCOPE), **query) == listed


async def test_a_deleted_and_a_hidden_repository_are_listed_no_more(full: Doors) -> None:
    client, bob = await full.holder("alice", SCOPE), full.client("bob")
    hidden = await bob.patch("/api/v0/repositories/bob/public", json={"visibility": "private"})
    assert hidden.status_code == 200
    assert (await full.client("alice").delete("/api/v0/repositories/alice/a")).status_code == 204
    assert await names(client) == ["alice/a-public", "alice/a/deep"]


@pytest.mark.parametrize("size", ["-1", "x", ""])
async def test_attack_2_a_page_size_that_is_no_number_is_refused(doors: Doors, size: str) -> None:
    answer = await (await doors.holder("alice", SCOPE)).get("/v2/_catalog", params={"n": size})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "PAGINATION_NUMBER_INVALID")
