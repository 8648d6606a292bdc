"""Tags: listed, deleted, and kept where the repository is immutable. Source: OCI distribution spec 1.1, "Content discovery"."""

import json
import secrets
from typing import Any

import pytest

from support.apps import Repository, follow_links
from support.registries import OCI_MANIFEST, digest_of, make_image

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMES = ["10", "2", "A", "Z", "_x", "a", "a-b", "a.b", "b", "latest"]  # as code points sort them


def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(make_image().manifest)
    return made


async def push_all(repository: Repository) -> None:
    body = make_image().manifest
    answer = await repository.put(digest_of(body), body, params={"tag": NAMES[::-1]})
    assert answer.status_code == 201


async def test_tags_are_listed_in_the_order_of_their_characters(repository: Repository) -> None:
    await push_all(repository)
    answer = await repository.ask("GET", "tags/list")
    assert answer.json() == {"name": repository.name, "tags": NAMES}
    assert answer.headers["content-type"] == "application/json"
    assert "link" not in answer.headers


async def test_a_repository_without_tags_lists_none(repository: Repository) -> None:
    assert (await repository.ask("GET", "tags/list")).json() == {"name": repository.name, "tags": []}


async def test_an_unknown_repository_has_no_list(repository: Repository) -> None:
    name = f"alice/{secrets.token_hex(6)}"
    absent = Repository(repository.doors, name, await repository.doors.holder("alice", f"repository:{name}:*"))
    answer = await absent.ask("GET", "tags/list")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize("size", [1, 3, 10, 11])
async def test_links_lead_through_all_tags(repository: Repository, size: int) -> None:
    await push_all(repository)
    answers = await follow_links(repository.client, f"/v2/{repository.name}/tags/list?n={size}")
    pages = [answer.json()["tags"] for answer in answers]
    assert [tag for page in pages for tag in page] == NAMES
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert 0 < len(pages[-1]) <= size


@pytest.mark.parametrize(
    ("query", "listed", "more"),
    [
        ({"n": "0"}, [], False),
        ({"n": "2"}, NAMES[:2], True),
        ({"n": "2", "last": "2"}, NAMES[2:4], True),
        ({"last": "a"}, NAMES[6:], False),
        ({"last": "a-"}, NAMES[6:], False),  # no tag itself
        ({"last": "latest"}, [], False),
        ({"n": "2", "last": "a.b"}, NAMES[8:], False),
        ({"n": "1000000000000"}, NAMES, False),
    ],
)
async def test_a_page_begins_after_last_and_holds_n(
    repository: Repository, query: dict[str, str], listed: list[str], *, more: bool
) -> None:
    await push_all(repository)
    answer = await repository.ask("GET", "tags/list", params=query)
    assert (answer.status_code, answer.json()["tags"]) == (200, listed)
    assert ("link" in answer.headers) is more


@pytest.mark.parametrize("size", ["-1", "x", "", "1.5", "1e3"])
async def test_attack_2_a_page_size_that_is_no_number_is_refused(repository: Repository, size: str) -> None:
    answer = await repository.ask("GET", "tags/list", params={"n": size})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "PAGINATION_NUMBER_INVALID")


async def test_a_deleted_tag_is_gone_and_its_manifest_stays(repository: Repository) -> None:
    made = document()
    digest = await repository.push("one", made)
    await repository.push("two", made)
    assert (await repository.ask("DELETE", "manifests/one")).status_code == 202
    for method in ("GET", "DELETE"):
        answer = await repository.ask(method, "manifests/one")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")
    assert (await repository.ask("GET", "tags/list")).json()["tags"] == ["two"]
    assert (await repository.ask("DELETE", "manifests/two")).status_code == 202
    assert (await repository.ask("GET", f"manifests/{digest}")).status_code == 200


# --- immutable tags --------------------------------------------------------------------------------------------------


@pytest.fixture
def name() -> str:
    return f"alice/{secrets.token_hex(6)}"


async def test_an_immutable_tag_stays_what_it_is(repository: Repository, name: str) -> None:
    kept = await repository.doors.repository(name, immutableTags=True)
    first, second = document(), make_image().manifest
    digest = await kept.push("1", first)
    moves = [await kept.put("1", second), await kept.put(digest_of(second), second, params={"tag": ["2", "1"]})]
    for refused in (*moves, await kept.ask("DELETE", "manifests/1"), await kept.ask("DELETE", f"manifests/{digest}")):
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "DENIED")
    assert "immutable" in moves[0].json()["errors"][0]["message"]
    assert (await kept.ask("GET", "manifests/1")).json() == first
    assert (await kept.ask("GET", "tags/list")).json()["tags"] == ["1"]
    assert (await kept.ask("GET", f"manifests/{digest_of(second)}")).status_code == 404


async def test_an_immutable_repository_takes_new_tags_and_the_same_again(repository: Repository, name: str) -> None:
    kept = await repository.doors.repository(name, immutableTags=True)
    made = document()
    for tag in ("1", "1", "2"):
        await kept.push(tag, made)
    assert (await kept.put("3", make_image().manifest, OCI_MANIFEST)).status_code == 201
    assert (await kept.ask("GET", "tags/list")).json()["tags"] == ["1", "2", "3"]


async def test_an_untagged_manifest_of_an_immutable_repository_may_go(repository: Repository, name: str) -> None:
    kept = await repository.doors.repository(name, immutableTags=True)
    digest = await kept.push("", document())
    assert (await kept.ask("DELETE", f"manifests/{digest}")).status_code == 202
