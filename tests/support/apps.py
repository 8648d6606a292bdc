"""The token service and the REST doors, composed in process over each database, and clients signed in to them."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from lading.accounts import api as accounts_api
from lading.accounts.access_tokens import AccessTokens
from lading.accounts.authenticator import AccountAuthenticator
from lading.accounts.passwords import HashParameters, Passwords
from lading.accounts.routes import TokenDoor
from lading.accounts.sign_in import SignIn
from lading.accounts.throttle import Throttle
from lading.accounts.token_service import TokenService
from lading.accounts.users import Users
from lading.blobs.backends.filesystem import FilesystemBlobs
from lading.cli.remote import DoorTransport
from lading.cluster import api as cluster_api
from lading.cluster.api import Site
from lading.cluster.health import HealthChecks
from lading.cluster.replicas import Replicas
from lading.cluster.site import LiveSettings, SiteSettings
from lading.core.clock import SystemClock
from lading.database import Database
from lading.events.log import SYSTEM
from lading.keys.master import MasterKey
from lading.keys.store import SecretStore
from lading.keys.token_signing import TokenSigner, make_signing_key
from lading.registry import api as registry_api
from lading.registry.repositories import Repositories, RepositoryVisibility
from lading.registry.switches import Switches
from lading.registry.tags import RepositoryTags
from lading.web.api import make_api
from lading.web.exchange import Answer, Request

SERVICE = "registry.test:5443"
PASSWORD = "correct horse battery"
CHEAP = HashParameters(memory_kib=8, iterations=1, lanes=1)


@dataclass
class Doors:
    """The doors, the use cases behind them, and clients. Users: `admin`, `alice`, `bob`, all with PASSWORD."""

    database: Database
    users: Users
    live: LiveSettings
    authenticator: AccountAuthenticator
    token: TokenDoor
    transport: httpx.AsyncBaseTransport

    def client(self, name: str | None = None, secret: str = PASSWORD) -> httpx.AsyncClient:
        """A client, signed in by Basic when a name is given."""
        auth = None if name is None else httpx.BasicAuth(name, secret)
        return httpx.AsyncClient(transport=self.transport, base_url=f"https://{SERVICE}", auth=auth)


@pytest.fixture
async def doors(database: Database, tmp_path: Path) -> Doors:
    clock = SystemClock()
    passwords = Passwords(CHEAP)
    users = Users(database, passwords, clock, 8)
    for name in ("admin", "alice", "bob"):
        await users.create(name, PASSWORD, by=SYSTEM, is_admin=name == "admin")
    secrets = SecretStore(MasterKey.load_or_create(tmp_path / "master.key", may_create=True))
    await make_signing_key(database, secrets, clock.now(), overlap=timedelta(0))
    signer = await TokenSigner.load(database, secrets)
    sign_in, tokens = SignIn(database, passwords, Throttle(), clock), AccessTokens(database, clock)
    authenticator = AccountAuthenticator(database, sign_in, signer, clock, service=SERVICE)
    blobs = FilesystemBlobs(tmp_path / "blobs", tmp_path / "quarantine")
    live = LiveSettings(database, clock, SiteSettings(deletes=True), {"anonymous_access": "registry.anonymous_access"})

    def switches() -> Switches:
        return Switches(read_only=live.current.read_only, deletes=live.current.deletes)

    repositories = Repositories(database, clock, switches)
    health = HealthChecks(database, blobs, signer)
    replicas = Replicas(database, health, clock, "0123456789ab", lambda: live.current.read_only)
    site = Site(SERVICE, 5443, "0123456789ab", "1.2.3")
    routers = (
        registry_api.router(repositories, RepositoryTags(database, repositories, blobs, clock)),
        accounts_api.router(users, tokens, sign_in),
        cluster_api.router(database, live, replicas, clock, site),
    )
    rest = make_api(routers, authenticator, version="1.2.3")
    service = TokenService(RepositoryVisibility(database), signer, clock, SERVICE, timedelta(minutes=5))
    token = TokenDoor(sign_in, tokens, service, {SERVICE}, lambda: True)

    async def either(request: Request) -> Answer:
        return await (token(request) if request.path == b"/auth/token" else rest(request))

    return Doors(database, users, live, authenticator, token, DoorTransport(either))
