"""The REST doors keep to their own description, whoever asks and whatever is sent."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.apps import PASSWORD, Doors, open_doors

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
LOG=[]
EXAMPLES = {"admin": 12, "alice": 5, None: 3}
KNOWN = {
    "namespace": ["acme", "alice"],
    "reponame": ["app"],
    "name": ["acme", "alice"],
    "user": ["alice"],
    "username": ["alice"],
    "org": ["acme"],
    "orgname": ["acme"],
    "team": ["builders"],
    "teamname": ["builders"],
    "member": ["alice", "bob"],
    "reference": ["latest"],
    "tag": ["latest"],
    "robot": ["ci"],
    "action": ["onlinegc", "onlinegc_events"],
}
"""What there is, by the names of the paths' parts: what is made up hardly ever is there."""
ENZI = "/enzi/v0/accounts"


class Served:
    """The app over SQLite in a loop of its own, so that tests that are not asynchronous may ask it."""

    def __init__(self, url: str, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self.clients: dict[str | None, httpx.AsyncClient] = {}
        self._run(self._open(url, folder))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _open(self, url: str, folder: Path) -> None:
        doors: Doors = await self._stack.enter_async_context(open_doors(url, folder))
        for name in (*EXAMPLES, "bob"):
            self.clients[name] = await self._stack.enter_async_context(doors.client(name))

    def ask(self, name: str | None, method: str, path: str, **more: Any) -> httpx.Response:
        answer: httpx.Response = self._run(self.clients[name].request(method, path, **more))
        return answer

    def close(self) -> None:
        self._run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Alice owns the organization acme, with a repository, a team of hers and bob's, and a robot."""
    folder = tmp_path_factory.mktemp("openapi")
    (folder / "lading.db").write_bytes(sqlite_template.read_bytes())
    served = Served(f"sqlite+aiosqlite:///{folder / 'lading.db'}", folder / "data")
    rights = [{"repository": "acme/*", "accessLevel": "read-only"}]
    for method, path, form in (
        ("POST", ENZI, {"name": "acme", "isOrg": True}),
        ("PUT", f"{ENZI}/acme/members/alice", {"isAdmin": True}),
        ("POST", f"{ENZI}/acme/teams", {"name": "builders"}),
        ("PUT", f"{ENZI}/acme/teams/builders/members/bob", {}),
        ("POST", "/api/v0/repositories/acme", {"name": "app"}),
        ("PUT", "/api/v0/repositories/acme/app/teamAccess/builders", {"accessLevel": "admin"}),
        ("POST", "/api/v0/accounts/acme/robots", {"name": "ci", "repositories": rights}),
        ("POST", "/api/v0/api_tokens", {}),
        ("POST", "/api/v0/crons", {"action": "onlinegc", "schedule": "@daily"}),
    ):
        assert served.ask("admin", method, path, json=form).is_success, path
    yield served
    served.close()


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = served.ask(None, "GET", "/api/v0/openapi.json").json()
    return found


def operations_of(document: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    return [(method, path, item) for path, items in document["paths"].items() for method, item in items.items()]


@pytest.mark.parametrize("who", EXAMPLES)
def test_every_answer_is_as_the_description_says(served: Served, document: dict[str, Any], who: str | None) -> None:
    schema = schemathesis.openapi.from_dict(document)
    found: dict[str, str] = {}
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == len(operations_of(document))
    for operation in sorted(operations, key=lambda item: item.method.upper() == "DELETE"):
        cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

        @settings(
            max_examples=EXAMPLES[who],
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases, data=st.data())
        def holds(case: Any, data: st.DataObject) -> None:
            known = sorted(KNOWN.keys() & case.path_parameters.keys())
            if known and data.draw(st.booleans()):
                case.path_parameters.update({name: data.draw(st.sampled_from(KNOWN[name])) for name in known})
            sent = requests.Request(**case.as_transport_kwargs(base_url="https://registry.test")).prepare()
            answer = served.ask(who, sent.method or "", sent.path_url, headers=dict(sent.headers), content=sent.body)
            LOG.append((operation.label, sent.method, sent.path_url, (sent.body or b'')[:80], answer.status_code, answer.text[:100]))
            case.validate_response(answer, CHECKS)

        try:
            holds()
        except Exception as error:  # noqa: BLE001 — all that is wrong is told at once
            found[operation.label] = str(error)
    open(f'/tmp/room7/log-{who}.txt','w').write('\n'.join(map(str,LOG))); LOG.clear()
    assert found == {}
    assert PASSWORD not in str(document)
