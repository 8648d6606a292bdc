"""Attack row 15: every route of the REST doors, asked by every role, about one's own things and about others'.

What is expected stands in `authorization_table.py`, which a person can read. Nothing that was refused changes anything; what was
allowed is undone, so that the order of the lines does not matter. Over SQLite, in process: the decisions are the same.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from attacks.authorization_table import BODIES, TABLE
from attacks.authorization_world import NEW_KEY, NOT_THERE, World, make_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROLES = (
    "anonymous", "stranger", "member", "reader", "writer", "repoadmin", "owner", "admin", "robot", "narrowed",
)  # fmt: skip
_VALUE = re.compile(r"\{(\w+)=([^}]+)\}")
_WORD = re.compile(r"@(\w+)")


@dataclass(frozen=True)
class Line:
    """A line of the table, and what it says."""

    method: str
    path: str
    expected: Mapping[str, str]
    others: str
    public: str

    @property
    def route(self) -> tuple[str, str]:
        """Method and path as OpenAPI names them."""
        return self.method, _VALUE.sub(r"{\1}", self.path.partition("?")[0])

    @property
    def body(self) -> str | None:
        return BODIES.get(" ".join(self.route))

    @property
    def words(self) -> list[str]:
        """The things that the path names, the outermost first."""
        return _WORD.findall(self.path)

    async def ask(self, client: httpx.AsyncClient, words: Mapping[str, str]) -> httpx.Response:
        """The answer about the things that `words` names."""
        words = {"new_key": NEW_KEY, **words}
        path = _put_in(_VALUE.sub(r"\2", self.path), words)
        if self.body is None:
            return await client.request(self.method, path)
        headers = {"Content-Type": "application/json"}
        return await client.request(self.method, path, content=_put_in(self.body, words), headers=headers)


def _put_in(text: str, words: Mapping[str, str]) -> str:
    return _WORD.sub(lambda found: words.get(found[1], found[0]), text)


def _lines_of(table: str) -> list[Line]:
    found, words = [], list[str]()
    for text in table.splitlines():
        if text.startswith("#"):
            continue
        words += text.split()
        if len(words) > 2:  # else the path was so long that what is expected stands on the next line
            method, path, *rest = words
            assert len(rest) == len(ROLES) + 2, f"{method} {path}: {len(rest)} columns"
            found.append(Line(method, path, dict(zip(ROLES, rest[:-2], strict=True)), rest[-2], rest[-1]))
            words = []
    return found


LINES = _lines_of(TABLE)
every_line = pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.method} {line.path}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with make_world(tmp_path_factory.mktemp("authorization"), sqlite_template) as made:
        yield made


def outcome(answer: httpx.Response) -> str:
    """`ok`, or the status."""
    return "ok" if answer.is_success else str(answer.status_code)


def told(answer: httpx.Response, words: Mapping[str, str]) -> tuple[int, str]:
    """Status and body, without the request's id and the names that were asked for."""
    text = answer.text
    if text.startswith("{"):
        document = json.loads(text)
        document.pop("requestId", None)
        text = json.dumps(document)
    for word in sorted(words.values(), key=len, reverse=True):
        text = text.replace(word, "…")
    return answer.status_code, text


async def test_every_route_has_a_line_in_the_table_and_every_line_a_route(world: World) -> None:
    """A new route: write its line into authorization_table.py, who may ask it and what the others get."""
    document = (await world.clients["anonymous"].get("/api/v0/openapi.json")).json()
    routes = {(method.upper(), path) for path, items in document["paths"].items() for method in items}
    assert routes - {line.route for line in LINES} == set(), "routes without a line"
    assert {line.route for line in LINES} - routes == set(), "lines without a route"
    assert set(BODIES) - {" ".join(line.route) for line in LINES} == set(), "bodies without a line"


@every_line
async def test_attack_15_each_role_gets_what_the_table_says(world: World, line: Line) -> None:
    refused = [role for role in ROLES if line.expected[role] != "ok"]
    got = {}
    for role in (*refused, *(role for role in ROLES if role not in refused)):
        answer = await line.ask(world.clients[role], world.ours)
        got[role] = outcome(answer)
        if role != "admin":
            assert "zanz" not in answer.text.replace(world.others["acme"], "zanz") or "zanz" not in answer.text, role
        if got[role] == "ok":
            world.undo()
        else:
            assert world.changes() == [], role
    assert got == line.expected


@every_line
async def test_attack_15_things_of_others_are_as_things_that_are_not_there(world: World, line: Line) -> None:
    if line.others == "-":
        pytest.skip("the line names nothing of anybody's")
    expected = {role: line.others for role in ROLES} | {
        role: line.expected[role] for role in ("anonymous", "admin")
    }
    got = {}
    for role in ROLES:
        hidden = await line.ask(world.clients[role], world.others)
        got[role] = outcome(hidden)
        if got[role] == "ok":
            world.undo()
        elif role != "admin":
            missing = await line.ask(world.clients[role], NOT_THERE)
            assert told(hidden, world.others) == told(missing, NOT_THERE), role
    assert world.changes() == []
    assert got == expected


@every_line
async def test_attack_15_what_belongs_to_others_is_not_reached_by_way_of_ones_own(world: World, line: Line) -> None:
    """Such as the team of another organization, by its id, below one's own: as one that is not there, for the admin, too."""
    inner = [word for word in line.words[1:] if word not in {"member", "reader"}]
    if not inner:
        pytest.skip("the line names one thing only")
    ids = await ids_of(world)
    for role in ROLES:
        for word in inner:
            hidden = await line.ask(world.clients[role], {**world.ours, word: ids.get(word, world.others[word])})
            missing = await line.ask(world.clients[role], {**world.ours, word: NOT_THERE[word]})
            assert hidden.status_code == missing.status_code, (role, word)
            assert "zanz" not in hidden.text.replace(ids.get(word, world.others[word]), ""), (role, word)
    assert world.changes() == []


async def ids_of(world: World) -> dict[str, str]:
    """What the others' things are called by their ids, where the names are an organization's own matter."""
    team = await world.done("GET", f"/enzi/v0/accounts/zanzibar/teams/{world.others['readers']}")
    return {"readers": team["id"]}


@pytest.fixture
def public(world: World) -> None:
    """Zanzibar's repository is public."""


@every_line
async def test_attack_15_what_is_public_is_read_by_everyone_and_changed_by_nobody_else(world: World, line: Line) -> None:
    if line.public == "-":
        pytest.skip("that changes nothing here")
    path = f"/api/v0/repositories/{world.others['acme']}/{world.others['app']}"
    await world.done("PATCH", path, {"visibility": "public"})
    try:
        got = {role: outcome(await line.ask(world.clients[role], world.others)) for role in ROLES if role != "admin"}
    finally:
        world.undo()
    anonymous = line.public if line.expected["anonymous"] != "401" else "401"
    assert got == {role: line.public for role in got} | {"anonymous": anonymous}
