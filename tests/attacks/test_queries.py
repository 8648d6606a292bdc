"""Attack row 18: text for SQL, for LIKE and for the ORM is only text, in every query of the REST doors, over both databases."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio
from sqlalchemy import text

from support.apps import PASSWORD, Doors

ENZI = "/enzi/v0/accounts"
HIDDEN = "zanzibar"
"""In the names of all that bob may not see; alice's."""
NASTY = (
    "'", "' OR '1'='1", "'; DROP TABLE accounts; --", "1) OR (1=1", '") OR ("1"="1', "' UNION SELECT password_hash --",
    "%", "_", "zanz%", "zanz_bar%", "\\", "\\%", "%' ESCAPE '", "*", "$1", ":start", "%(id)s", "{0}", "\u202e\U0001f600",
    "9" * 30, "-1", "null", "password_hash", "account__password_hash__startswith",
)  # fmt: skip
SECRETS = ("password_hash", "passwordHash", "password", "credential_epoch", "accounts.password_hash", "csrf", "token")


@pytest_asyncio.fixture
async def hidden(doors: Doors) -> AsyncIterator[Doors]:
    """Alice's organization, team, repository, robot and token; bob is somebody else, with a repository of his own."""
    async with doors.client("admin") as admin, doors.client("bob") as bob:
        rights = [{"repository": f"{HIDDEN}/*", "accessLevel": "read-only"}]
        for method, path, form in (
            ("POST", ENZI, {"name": HIDDEN, "isOrg": True}),
            ("POST", ENZI, {"name": f"{HIDDEN}-user", "password": PASSWORD, "fullName": f"{HIDDEN} user"}),
            ("PUT", f"{ENZI}/{HIDDEN}/members/alice", {"isAdmin": True}),
            ("POST", f"{ENZI}/{HIDDEN}/teams", {"name": f"{HIDDEN}-team"}),
            ("POST", f"/api/v0/repositories/{HIDDEN}", {"name": f"{HIDDEN}-app"}),
            ("POST", f"/api/v0/accounts/{HIDDEN}/robots", {"name": f"{HIDDEN}-bot", "repositories": rights}),
            ("POST", "/api/v0/api_tokens?username=alice", {"tokenLabel": HIDDEN}),
        ):
            answer = await admin.request(method, path, json=form)
            assert answer.is_success, (path, answer.text)
        assert (await bob.post("/api/v0/repositories/bob", json={"name": "app"})).status_code == 201
    yield doors


async def queries_of(client: httpx.AsyncClient) -> list[tuple[str, list[str]]]:
    """Each GET: the path, bob's own things in it; and the names of what it takes as text in the query."""
    document = (await client.get("/api/v0/openapi.json")).json()
    own = {"namespace": "bob", "reponame": "app", "name": "bob", "user": "bob", "username": "bob"}
    found = []
    for path, operations in document["paths"].items():
        parameters = operations.get("get", {}).get("parameters", [])
        texts = [item for item in parameters if item["schema"].get("type") not in {"integer", "boolean"}]
        named = [item["name"] for item in texts if item["in"] == "query"]
        filled = path
        for item in (item for item in parameters if item["in"] == "path"):
            filled = filled.replace(f"{{{item['name']}}}", own.get(item["name"], HIDDEN))
        if named and not path.startswith("/api/clientbundle"):
            found.append((filled, named))
    return found


async def rows(doors: Doors) -> Any:
    async with doors.database.read() as connection:
        return [
            await connection.scalar(text(f"SELECT count(*) FROM {table}"))  # noqa: S608 — our own names
            for table in ("accounts", "repositories", "teams", "access_tokens", "grants")
        ]


async def test_attack_18_no_query_is_read_as_sql_or_shows_what_is_hidden(hidden: Doors) -> None:
    """CVE-2019-19026, CVE-2019-19029, CVE-2024-22261. What bob may not ask at all, the administrator asks."""
    before = await rows(hidden)
    async with hidden.client("bob") as bob, hidden.client("admin") as admin, hidden.client() as anonymous:
        asked = await queries_of(bob)
        assert len(asked) > 15
        for path, names in asked:
            may = (await bob.get(path)).status_code not in {403, 404}
            for name, nasty in itertools.product(names, NASTY):
                answer = await (bob if may else admin).get(path, params={name: nasty})
                assert answer.status_code < 500, (path, name, nasty, answer.text)
                assert not may or not _tells_more(answer, nasty), (path, name, nasty, answer.text)
                if path in {"/api/v0/repositories", "/v1/search"}:
                    answer = await anonymous.get(path, params={name: nasty})
                    assert answer.status_code < 500, (path, name, nasty, answer.text)
                    assert not _tells_more(answer, nasty), (path, name, nasty, answer.text)
    assert await rows(hidden) == before


def _tells_more(answer: httpx.Response, nasty: str) -> bool:
    """Whether it names what is hidden, other than by repeating what was asked."""
    return HIDDEN in answer.text.replace(nasty, "")


async def test_attack_18_a_search_finds_what_holds_the_very_text(hidden: Doors) -> None:
    """Signs of LIKE stand for themselves, for administrators, too, who may see all."""
    async with hidden.client("admin") as admin:
        for nasty in (one for one in NASTY if one != "-1"):
            for path, name, key in (
                (ENZI, "contains", "accounts"),
                ("/api/v0/index/autocomplete", "query", "repositoryResults"),
                ("/api/v0/index/autocomplete", "query", "accountResults"),
                ("/v1/search", "q", "results"),
                ("/api/v0/index/dockersearch", "q", "results"),
            ):
                answer = await admin.get(path, params={name: nasty})
                assert answer.status_code == 400 or answer.json()[key] == [], (path, nasty)
        assert len((await admin.get(ENZI, params={"contains": HIDDEN})).json()["accounts"]) > 1


async def test_attack_18_nothing_is_filtered_or_sorted_by_what_is_secret(hidden: Doors) -> None:
    """CVE-2025-30086: a filter on a related column would tell the secret letter by letter."""
    async with hidden.client("admin") as admin:
        for word in SECRETS:
            for name in ("filter", "order"):
                for spelled in (word, f"-{word}", f"+{word}", f"name,{word}", f"{word}__startswith", f"name; {word}"):
                    assert (await admin.get(ENZI, params={name: spelled})).status_code == 400, (name, spelled)
            for path in (ENZI, "/api/v0/repositories", "/api/v0/events", "/api/v0/api_tokens", "/api/v0/jobs"):
                usual = (await admin.get(path)).text
                for name in (word, f"{word}__startswith", f"filter[{word}]", f"accounts.{word}", f"sort.{word}"):
                    assert (await admin.get(path, params={name: "$argon2"})).text == usual, (path, name)
