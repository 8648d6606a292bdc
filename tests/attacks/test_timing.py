"""Attack row 22: nobody learns by status, body or time which names there are. In process: nothing else takes time there.

Times are medians of calls that alternate, so that a busy machine slows both alike; what is asked is only that they are of one
kind. A hash left out, or made, is ten times as much.
"""

import itertools
import statistics
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from attacks.authorization_lines import told
from attacks.authorization_world import ENZI, NOT_THERE, World
from support.apps import SERVICE, Doors

pytestmark = pytest.mark.asyncio(loop_scope="module")

FACTOR = 1.6
CALLS, ROUNDS = 40, 4
WRONG = "incorrect horse battery"
_addresses = (f"10.{a}.{b}.1" for a, b in itertools.product(range(256), range(256)))


async def is_alike(first: Callable[[], Awaitable[object]], second: Callable[[], Awaitable[object]]) -> bool:
    """Whether both take as long, in one round of a few: noise comes and goes, a difference in the code stays."""
    for _ in range(ROUNDS):
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(CALLS):
            pair = ((first, times[0]), (second, times[1]))
            for ask, taken in pair if number % 2 else reversed(pair):
                began = time.perf_counter()
                await ask()
                taken.append(time.perf_counter() - began)
        medians = [statistics.median(taken[CALLS // 8 :]) for taken in times]
        if max(medians) < min(medians) * FACTOR:
            return True
    return False


def stranger_at(doors: Doors) -> httpx.AsyncClient:
    """A client from an address of its own: too many failures from one are throttled."""
    transport = httpx.ASGITransport(doors._answer, client=(next(_addresses), 1))
    return httpx.AsyncClient(transport=transport, base_url=f"https://{SERVICE}")


NAMES = {
    "a user": "member",
    "an administrator": "admin",
    "a robot": "robot$acme+bot",
    "an organization": "acme",
    "who has the right name in another case": "MEMBER",
}
WAYS = {
    "the token service": ("GET", "/auth/token", "basic"),
    "the token service, by a form": ("POST", "/auth/token", "form"),
    "the REST API": ("GET", "/api/v0/repositories", "basic"),
    "the login page": ("POST", "/login", "json"),
    "the login of programs": ("POST", "/auth/login", "json"),
}


async def sign_in(doors: Doors, name: str, way: str) -> httpx.Response:
    method, path, kind = WAYS[way]
    form = {"username": name, "password": WRONG, "grant_type": "password", "service": SERVICE}
    async with stranger_at(doors) as client:
        match kind:
            case "basic":
                return await client.request(method, path, auth=(name, WRONG))
            case "form":
                return await client.request(method, path, data=form)
            case _:
                return await client.request(method, path, json={"username": name, "password": WRONG})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", NAMES)
async def test_attack_22_a_wrong_password_tells_nothing_of_the_name(world: World, who: str, way: str) -> None:
    """CVE-2020-13794, CVE-2019-19030: known, unknown, a robot, an organization: one answer."""
    known, unknown = NAMES[who], "nobody-of-that-name"
    answers = [await sign_in(world.doors, name, way) for name in (known, unknown)]
    assert answers[0].status_code == 401
    assert told(answers[0], {"": known}) == told(answers[1], {"": unknown})
    headers = [{key: value for key, value in answer.headers.items() if key != "x-request-id"} for answer in answers]
    assert headers[0] == headers[1]


@pytest.mark.parametrize("who", ["a user", "a robot", "an organization"])
async def test_attack_22_a_wrong_password_takes_as_long_for_a_name_that_nobody_has(world: World, who: str) -> None:
    """CVE-2023-20902."""

    async def first() -> object:
        return await sign_in(world.doors, NAMES[who], "the REST API")

    async def second() -> object:
        return await sign_in(world.doors, "nobody-of-that-name", "the REST API")

    assert await is_alike(first, second)


HIDDEN = {
    "a repository": "/api/v0/repositories/{acme}/{app}",
    "its tags": "/api/v0/repositories/{acme}/{app}/tags",
    "a namespace": "/api/v0/repositories/{acme}",
    "an organization": ENZI + "/{acme}",
    "its teams": ENZI + "/{acme}/teams",
    "a team": ENZI + "/{acme}/teams/{readers}",
    "a member": ENZI + "/{acme}/members/{member}",
    "a user": ENZI + "/{member}",
    "somebody's access tokens": "/api/v0/api_tokens?username={member}",
    "robots": "/api/v0/accounts/{acme}/robots",
    "what a user may": "/api/v0/accounts/{member}/repositoryAccess/{acme}/{app}",
    "a manifest by the protocol": "/v2/{acme}/{app}/manifests/latest",
    "a blob by the protocol": "/v2/{acme}/{app}/blobs/{manifest}",
}
"""Names, which can be guessed; an access token's id is the SHA-256 of 256 random bits."""


@pytest.mark.parametrize("what", HIDDEN)
async def test_attack_22_what_is_hidden_takes_as_long_as_what_is_not_there(world: World, what: str) -> None:
    client = world.clients["stranger"]
    there, missing = HIDDEN[what].format(**world.others), HIDDEN[what].format(**NOT_THERE)
    if there.startswith("/v2/"):
        client = await world.doors.holder("stranger", "repository:stranger/app:pull")
    answers = [await client.get(path) for path in (there, missing)]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].status_code in {401, 404}

    async def first() -> object:
        return await client.get(there)

    async def second() -> object:
        return await client.get(missing)

    assert await is_alike(first, second)


async def test_attack_22_a_wrong_token_takes_as_long_as_one_that_was_switched_off(world: World) -> None:
    made = await world.done("POST", "/api/v0/api_tokens?username=member", {})
    await world.done("PATCH", f"/api/v0/api_tokens/{made['hashedToken']}", {"isActive": False})
    known = made["token"]
    unknown = known[:-4] + ("AAAA" if known[-4:] != "AAAA" else "BBBB")

    async def ask(token: str) -> httpx.Response:
        async with stranger_at(world.doors) as client:
            return await client.get("/api/v0/repositories", headers={"Authorization": f"Bearer {token}"})

    try:
        assert told(await ask(known), {}) == told(await ask(unknown), {})
        assert await is_alike(lambda: ask(known), lambda: ask(unknown))
    finally:
        world.undo()
