"""The REST doors keep to their own description, whoever asks and whatever is sent."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
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
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from attacks.authorization_table import BODIES
from attacks.authorization_world import NEW_KEY
from support.apps import Doors, open_doors

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
WHO = (None, "alice", "admin")
USUAL = settings(
    max_examples=3, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
WORDS = {"@acme": "acme", "@app": "app", "@readers": "builders", "@member": "bob", "@new_key": NEW_KEY}
NOTHING_TOLD = {
    "delete /api/v0/api_tokens",
    "delete /api/v0/api_tokens/{hashedtoken}",
    "post /api/v0/workers/{worker_id}/capacity",
}
"""They answer null."""
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
    "worker_id": ["0123456789ab"],
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
        self.known: dict[str, Sequence[str]] = dict(KNOWN)
        self._run(self._open(url, folder))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _open(self, url: str, folder: Path) -> None:
        doors: Doors = await self._stack.enter_async_context(open_doors(url, folder))
        for name in WHO:
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
    done = {}
    for method, path, form in (
        ("POST", ENZI, {"name": "acme", "isOrg": True}),
        ("PUT", f"{ENZI}/acme/members/alice", {"isAdmin": True}),
        ("POST", f"{ENZI}/acme/teams", {"name": "builders"}),
        ("PUT", f"{ENZI}/acme/teams/builders/members/bob", {}),
        ("POST", "/api/v0/repositories/acme", {"name": "app"}),
        ("PUT", "/api/v0/repositories/acme/app/teamAccess/builders", {"accessLevel": "admin"}),
        ("PUT", "/api/v0/repositoryNamespaces/acme/teamAccess/builders", {"accessLevel": "read-only"}),
        ("POST", "/api/v0/accounts/acme/robots", {"name": "ci", "repositories": rights}),
        ("POST", "/api/v0/api_tokens", {}),
        ("POST", "/api/v0/crons", {"action": "onlinegc", "schedule": "@daily"}),
        ("POST", "/api/v0/jobs", {"action": "onlinegc"}),
        ("POST", "/enzi/v0/jobs", {"action": "ldap-sync"}),
        ("PUT", "/enzi/v0/config/auth/oidc/corporate", {"issuer": "https://127.0.0.1:1", "clientID": "lading"}),
    ):
        answer = served.ask("admin", method, path, json=form)
        assert answer.is_success, (path, answer.text)
        done[path] = answer.json()
    served.known |= {
        "hashedtoken": [done["/api/v0/api_tokens"]["hashedToken"]],
        "job_id": [done["/api/v0/jobs"]["id"], done["/enzi/v0/jobs"]["id"]],
    }
    yield served
    served.close()


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = served.ask(None, "GET", "/api/v0/openapi.json").json()
    return found


def operations_of(document: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    return [(method, path, item) for path, items in document["paths"].items() for method, item in items.items()]


def test_every_answer_is_as_the_description_says(served: Served, document: dict[str, Any]) -> None:
    """No 5xx, and no status, type, header or body that the description does not foresee."""
    # Other letters mean nothing more here, and unprintable ones are 400 everywhere. Who asks is said below: made-up
    # credentials only run into the throttle.
    generation = GenerationConfig(codec="ascii", allow_x00=False, with_security_parameters=False)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    schema = schemathesis.openapi.from_dict(document, config=config)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == len(operations_of(document))
    found: dict[str, str] = {}
    answered: set[str] = set()
    for operation in sorted(operations, key=_destruction):
        cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

        def holds(case: Any, data: st.DataObject) -> None:
            _put_in_what_is_known(case, data, served.known)
            _ask(served, case)

        try:
            # First as it is meant, while nothing is yet as made-up requests leave it; then all that one can think of.
            if _ask(served, _meant(operation, served.known)):
                answered.add(operation.label)
            USUAL(given(case=cases, data=st.data())(holds))()
        except Exception as error:  # noqa: BLE001 — all that is wrong is told at once
            found[operation.label] = str(error)
    assert found == {}
    refused = {operation.label for operation in operations} - answered
    assert len(refused) < len(operations) * 0.3, f"then little was seen: {sorted(refused)}"


def _ask(served: Served, case: Any) -> bool:
    """Whether somebody's request was granted; every answer is as described, or it raises."""
    sent = requests.Request(**case.as_transport_kwargs(base_url="https://registry.test")).prepare()
    granted = False
    for who in WHO:
        answer = served.ask(who, sent.method or "", sent.path_url, headers=dict(sent.headers), content=sent.body)
        case.validate_response(answer, CHECKS)
        granted = granted or answer.is_success
    return granted


def _meant(operation: Any, known: Mapping[str, Sequence[str]]) -> Any:
    """A request as somebody would send it, about what there is."""
    names = [parameter.name for parameter in operation.path_parameters]
    body = _known_body(operation)
    case = operation.Case(path_parameters={name: known.get(name, ["new"])[0] for name in names})
    if body is not None:
        case.body, case.media_type = body, "application/json"
    return case


def _destruction(operation: Any) -> tuple[bool, int]:
    """What destroys comes last, and what destroys most at the very last."""
    return operation.method.upper() == "DELETE", -operation.path.count("/")


def _put_in_what_is_known(case: Any, data: st.DataObject, known: Mapping[str, Sequence[str]]) -> None:
    """Half of the time the path, or the body, names what there is."""
    names: list[str] = sorted(known.keys() & case.path_parameters.keys())
    body = _known_body(case.operation)
    path_is_known: bool = data.draw(st.booleans())
    body_is_known: bool = data.draw(st.booleans())
    if path_is_known:
        case.path_parameters.update({name: data.draw(st.sampled_from(known[name])) for name in names})
    if body is not None and body_is_known:
        case.body = body


def _known_body(operation: Any) -> Any:
    body = BODIES.get(f"{operation.method.upper()} {operation.path}")
    if body is None:
        return None
    for word, name in WORDS.items():
        body = body.replace(word, name)
    return json.loads(body)


def test_the_description_is_whole(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {(item["type"], item.get("scheme")) for item in schemes.values()} >= {("http", "basic"), ("http", "bearer")}
    assert [next(iter(item)) for item in document["security"]] == list(schemes)
    assert "422" not in str(document)
    identifiers = [item["operationId"] for _, _, item in operations_of(document)]
    assert len(identifiers) == len(set(identifiers))
    for method, path, item in operations_of(document):
        told = f"{method} {path}"
        assert item["summary"], told
        assert item["tags"], told
        assert {"400", "401", "403", "404", "429", "500", "503"} <= set(item["responses"]), told
        good = [answer for status, answer in item["responses"].items() if status.startswith("2")]
        assert len(good) == 1, told
        for kind, content in good[0].get("content", {}).items():
            has_shape = {"type", "$ref", "anyOf"} & set(content.get("schema", {}))
            assert has_shape or kind != "application/json" or told in NOTHING_TOLD, told


def test_who_is_not_signed_in_may_ask_what_the_description_says(served: Served, document: dict[str, Any]) -> None:
    for method, path, item in operations_of(document):
        named = path
        for name, values in KNOWN.items():
            named = named.replace(f"{{{name}}}", values[0])
        answer = served.ask(None, method.upper(), named)
        assert (answer.status_code != 401) == ({} in item.get("security", [])), f"{method} {path}"
