"""The whole app composed in process over each database, clients signed in to it, and repositories to push to.

`doors` is a test's own; `shared_doors` serves all tests that leave it whole, `repository` is a new one in it. Tests of the
shared one run in the session's loop: `pytestmark = pytest.mark.asyncio(loop_scope="session")`. Requests come as from an ASGI
server, since files and ranges are answered there.
"""

import json
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from lading.accounts.authenticator import AccountAuthenticator
from lading.accounts.routes import TokenDoor
from lading.app.boot import Boot, load_master_key, make_passwords
from lading.app.doors import Doors as ProcessDoors
from lading.app.doors import make_doors
from lading.app.parts import Parts, open_parts
from lading.cluster.first_start import first_start
from lading.core.clock import SystemClock
from lading.core.folders import DataFolder
from lading.database import Database
from lading.events.log import SYSTEM
from lading.keys.store import SecretStore
from lading.settings import DatabaseSettings, PasswordSettings, RegistrySettings, Settings
from lading.web.asgi import Receive, Scope, Send, answer_asgi
from support.databases import PostgresqlServer
from support.registries import OCI_MANIFEST, Image, digest_of

SERVICE = "registry.test:5443"
PASSWORD = "correct horse battery"
_PAGES = 100
CHEAP = PasswordSettings(memory_kib=8192, iterations=1, lanes=1)


@dataclass(frozen=True)
class Doors:
    """The doors, the use cases behind them, and clients. Users: `admin`, `alice`, `bob`, all with PASSWORD."""

    parts: Parts
    made: ProcessDoors

    @property
    def database(self) -> Database:
        return self.parts.database

    @property
    def authenticator(self) -> AccountAuthenticator:
        return self.parts.authenticator

    @property
    def token(self) -> TokenDoor:
        return self.made.token

    def client(self, name: str | None = None, secret: str = PASSWORD, **more: Any) -> httpx.AsyncClient:
        """A client, signed in by Basic when a name is given."""
        auth = None if name is None else httpx.BasicAuth(name, secret)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self._answer), base_url=f"https://{SERVICE}", auth=auth, **more
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, door = self.made.at(scope["raw_path"])
        await answer_asgi(door, scope, receive, send)

    async def holder(self, name: str | None, *scopes: str) -> httpx.AsyncClient:
        """A client with a bearer token of these scopes, as far as they are granted."""
        answer = await self.client(name).get("/auth/token", params={"service": SERVICE, "scope": list(scopes)})
        assert answer.status_code == 200, answer.text
        return self.client(headers={"Authorization": f"Bearer {answer.json()['token']}"})

    async def repository(self, name: str, *also: str, **form: object) -> "Repository":
        """A new repository of the account that owns its namespace; `also` are more scopes for the client."""
        namespace, _, rest = name.partition("/")
        made = await self.client(namespace).post(f"/api/v0/repositories/{namespace}", json={"name": rest, **form})
        assert made.status_code == 201, made.text
        return Repository(self, name, await self.holder(namespace, f"repository:{name}:*", *also))


@dataclass(frozen=True)
class Repository:
    """A repository, and a client that may do all in it."""

    doors: Doors
    name: str
    client: httpx.AsyncClient

    async def ask(self, method: str, rest: str, **more: Any) -> httpx.Response:
        """The answer of what `rest` names in the repository, such as `manifests/latest`."""
        return await self.client.request(method, f"/v2/{self.name}/{rest}", **more)

    async def push_blob(self, data: bytes) -> str:
        """The blob's digest, of which the repository has the bytes now."""
        digest = digest_of(data)
        answer = await self.ask("POST", "blobs/uploads/", params={"digest": digest}, content=data)
        assert answer.status_code == 201, answer.text
        return digest

    async def put(self, reference: str, body: bytes, media_type: str = OCI_MANIFEST, **more: Any) -> httpx.Response:
        """The answer to the push of a manifest."""
        return await self.ask(
            "PUT", f"manifests/{reference}", content=body, headers={"Content-Type": media_type}, **more
        )

    async def push(self, reference: str, document: Mapping[str, Any]) -> str:
        """The digest of a manifest that is in the repository now; its type is what it says itself."""
        body = json.dumps(document).encode()
        answer = await self.put(reference or digest_of(body), body, document["mediaType"])
        assert answer.status_code == 201, answer.text
        return answer.headers["docker-content-digest"]

    async def push_image(self, tag: str, image: Image) -> str:
        """The image's digest, all of which is in the repository now."""
        for blob in (image.config, *image.layers):
            await self.push_blob(blob)
        return await self.push(tag, json.loads(image.manifest))


async def follow_links(client: httpx.AsyncClient, target: str) -> list[httpx.Response]:
    """The pages of a list, from the first on, as their links lead."""
    pages = []
    while target:
        answer = await client.get(target)
        assert answer.status_code == 200, answer.text
        pages.append(answer)
        assert len(pages) < _PAGES, "the links lead in a circle"
        target = answer.links["next"]["url"] if "next" in answer.links else ""
    return pages


@asynccontextmanager
async def open_doors(url: str, folder: Path, **registry: Any) -> AsyncIterator[Doors]:
    """The app over a database with the newest schema, its data in `folder`; `registry` are settings of that section."""
    settings = Settings(
        data=folder,
        database=DatabaseSettings(url=url),
        passwords=CHEAP,
        registry=RegistrySettings(**{"anonymous_access": True, "reserve_bytes": 0, **registry}),
    )
    data = DataFolder(settings.data)
    data.make()
    boot = Boot(settings, "none", f"https://{SERVICE}", 5443, "0123456789ab")
    await _start_first(boot, data)
    async with open_parts(boot) as parts:
        for name in ("alice", "bob"):
            await parts.users.create(name, PASSWORD, by=SYSTEM)
        yield Doors(parts, make_doors(parts))


async def _start_first(boot: Boot, data: DataFolder) -> None:
    settings = boot.settings
    database = await Database.open(settings.database_url)
    try:
        await first_start(
            database,
            SecretStore(load_master_key(data, may_create=True)),
            name="registry.test",
            password=PASSWORD,
            hash_password=make_passwords(settings).hash_now,
            clock=SystemClock(),
        )
    finally:
        await database.close()


@pytest.fixture
async def doors(upgraded_url: str, tmp_path: Path) -> AsyncIterator[Doors]:
    """The app, over each database."""
    async with open_doors(upgraded_url, tmp_path / "data") as opened:
        yield opened


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the newest schema that many tests use, once of each kind."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("shared") / "lading.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite+aiosqlite:///{path}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.create(template=request.getfixturevalue("postgresql_template"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_doors(shared_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    """The app, over each database, for all tests that leave it whole."""
    async with open_doors(shared_url, tmp_path_factory.mktemp("shared") / "data") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def repository(shared_doors: Doors) -> Repository:
    """A new, private repository of alice's."""
    return await shared_doors.repository(f"alice/{secrets.token_hex(6)}")
