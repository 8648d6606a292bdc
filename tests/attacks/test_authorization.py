"""Attack row 15: every route of the REST doors, asked by every role, about one's own things and about others'.

What is expected stands in `authorization_table.py`, which a person can read. Nothing that was refused changes anything; what
was allowed is undone, so that the order of the lines does not matter. Over SQLite, in process: the decisions are the same.
"""

from collections.abc import Callable

import pytest
from fastapi.routing import APIRoute

from attacks.authorization_lines import LINES, ROLES, Line, outcome, told
from attacks.authorization_table import ALIASES, BODIES
from attacks.authorization_world import NOT_THERE, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


def lines(chosen: Callable[[Line], object] = bool) -> pytest.MarkDecorator:
    """A test of each line that is chosen, all by default."""
    found = [line for line in LINES if chosen(line)]
    return pytest.mark.parametrize("line", found, ids=[f"{line.method} {line.path}" for line in found])


async def test_every_route_has_a_line_in_the_table_and_every_line_a_route(world: World) -> None:
    """A new route: write its line into authorization_table.py, who may ask it and what the others get."""
    document = (await world.clients["anonymous"].get("/api/v0/openapi.json")).json()
    routes = {(method.upper(), path) for path, items in document["paths"].items() for method in items}
    assert routes - {line.route for line in LINES} == set(), "routes without a line"
    assert {line.route for line in LINES} - routes == set(), "lines without a route"
    assert set(BODIES) - {" ".join(line.route) for line in LINES} == set(), "bodies without a line"


async def test_attack_15_a_path_that_stands_for_another_asks_for_the_same_rights(world: World) -> None:
    app = world.doors.made.api._app  # type: ignore[attr-defined]  # a Door by type
    routes = [route for part in app.routes if hasattr(part, "original_router") for route in part.original_router.routes]
    hidden = {route.path for route in routes if isinstance(route, APIRoute) and not route.include_in_schema}
    assert hidden == set(ALIASES)
    for alias, original in ALIASES.items():
        for line in (line for line in LINES if line.path == original):
            for role in (role for role in ROLES if line.expected[role] != "ok"):
                assert outcome(await line.ask(world.clients[role], world.ours, at=alias)) == line.expected[role], role


@lines()
async def test_attack_15_each_role_gets_what_the_table_says(world: World, line: Line) -> None:
    got: dict[str, str] = {}
    for role in sorted(ROLES, key=lambda role: line.expected[role] == "ok"):
        if line.expected[role] == "ok" and "ok" not in got.values():
            assert world.changes() == []  # by all who were refused
        answer = await line.ask(world.clients[role], world.ours)
        got[role] = outcome(answer)
        assert role == "admin" or "zanz" not in answer.text, role
        if got[role] == "ok" and not line.is_read:
            world.undo()
    assert world.changes() == []
    assert got == line.expected


@lines(lambda line: line.others != "-")
async def test_attack_15_things_of_others_are_as_things_that_are_not_there(world: World, line: Line) -> None:
    others, is_known = line.others.rstrip("*"), line.others.endswith("*")
    got: dict[str, str] = {}
    for role in ROLES:
        hidden = await line.ask(world.clients[role], world.others)
        got[role] = outcome(hidden)
        if got[role] == "ok" and not line.is_read:
            world.undo()
        if got[role] != "ok" and role != "admin" and not is_known:
            missing = await line.ask(world.clients[role], NOT_THERE)
            assert told(hidden, world.others) == told(missing, NOT_THERE), role
    assert world.changes() == []
    assert got == dict.fromkeys(ROLES, others) | {role: line.expected[role] for role in ("anonymous", "admin")}


@lines(lambda line: line.inner)
async def test_attack_15_what_belongs_to_others_is_not_reached_by_way_of_ones_own(world: World, line: Line) -> None:
    """Such as the team of another organization, by its id, below one's own: as one that is not there, for the admin, too."""
    ids = await ids_of(world)
    for role in ("reader", "owner", "robot", "admin"):
        for word in line.inner:
            theirs = ids.get(word, world.others[word])
            hidden = await line.ask(world.clients[role], {**world.ours, word: theirs})
            missing = await line.ask(world.clients[role], {**world.ours, word: NOT_THERE[word]})
            assert hidden.status_code == missing.status_code, (role, word)
            assert "zanz" not in hidden.text.replace(theirs, ""), (role, word)
    assert world.changes() == []


async def ids_of(world: World) -> dict[str, str]:
    """What the others' things are called by their ids, where the names are an organization's own matter."""
    team = await world.done("GET", f"/enzi/v0/accounts/zanzibar/teams/{world.others['readers']}")
    return {"readers": team["id"]}


@lines(lambda line: line.public != "-")
async def test_attack_15_what_is_public_is_read_by_everyone_and_changed_by_nobody_else(
    world: World, line: Line
) -> None:
    path = f"/api/v0/repositories/{world.others['acme']}/{world.others['app']}"
    await world.done("PATCH", path, {"visibility": "public"})
    try:
        got = {role: outcome(await line.ask(world.clients[role], world.others)) for role in ROLES if role != "admin"}
    finally:
        world.undo()
    anonymous = line.public if line.expected["anonymous"] != "401" else "401"
    assert got == dict.fromkeys(got, line.public) | {"anonymous": anonymous}
