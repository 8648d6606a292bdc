"""Composition: settings in, one ASGI application out. The only file that knows every room.

`python -m lading.app worker FD` is an app worker behind nginx, `application()` what an ASGI server calls without it, and
`python -m lading.app jobs` the job worker. All read the settings of this run from the file that LADING_BOOT names, which
`lading serve` wrote.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
import uvloop

from lading import __version__, logs
from lading.access import ANONYMOUS, Principal
from lading.accounts import tables as accounts_tables
from lading.accounts.access_tokens import AccessTokens
from lading.accounts.account_access import AccountAccess
from lading.accounts.account_deletion import AccountDeletion
from lading.accounts.authenticator import AccountAuthenticator
from lading.accounts.granting import Granting
from lading.accounts.organizations import Organizations
from lading.accounts.passwords import HashParameters, Passwords
from lading.accounts.rights import Rights
from lading.accounts.robots import Robots
from lading.accounts.routes import TokenDoor
from lading.accounts.sign_in import SignIn
from lading.accounts.throttle import Throttle
from lading.accounts.token_service import TokenService
from lading.accounts.users import Users
from lading.blobs.backends.filesystem import FilesystemBlobs
from lading.blobs.staging import Staging
from lading.cluster import tables as cluster_tables
from lading.cluster.health import HealthChecks
from lading.cluster.replicas import HEARTBEAT, Replicas
from lading.cluster.routes import LOOPBACK, OpenDoor
from lading.cluster.site import SETTINGS_EVERY, LiveSettings, SiteSettings
from lading.core.clock import SystemClock
from lading.core.errors import SettingsError
from lading.core.folders import DataFolder
from lading.database import Database
from lading.edge.lifeline import die_with_parent
from lading.events import tables as events_tables
from lading.jobs import tables as jobs_tables
from lading.jobs.context import Handler, JobContext
from lading.jobs.history import History
from lading.jobs.jobs import Job
from lading.jobs.schedules import Schedules
from lading.jobs.worker import Worker
from lading.keys import tables as keys_tables
from lading.keys.master import MasterKey
from lading.keys.server_certificate import OwnFiles, ServerCertificates
from lading.keys.store import SecretStore
from lading.keys.token_signing import RELOAD_EVERY, TokenSigner
from lading.registry import tables as registry_tables
from lading.registry.challenge import Challenges
from lading.registry.deletion import Deletions
from lading.registry.garbage import Garbage
from lading.registry.listing import Listings
from lading.registry.owned import OwnedRepositories
from lading.registry.points import RegistryPoints
from lading.registry.pull import ManifestBytes, PullCounts, Pulls
from lading.registry.push import Pushes
from lading.registry.repositories import Repositories, RepositoryVisibility
from lading.registry.routes import RegistryDoor
from lading.registry.switches import Switches
from lading.registry.tags import RepositoryTags
from lading.registry.uploads import Limits, Uploads
from lading.registry.verification import Verification
from lading.settings import Settings
from lading.web.asgi import Receive, Scope, Send, answer_asgi
from lading.web.exchange import Answer, Door, Request
from lading.web.metrics import Metrics
from lading.web.unix import UnixFront

log = structlog.get_logger()

ROOM_TABLES = (accounts_tables, cluster_tables, events_tables, jobs_tables, keys_tables, registry_tables)
_COUNTS_EVERY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Boot:
    """One run of the server, as `lading serve` resolved it."""

    settings: Settings
    edge: str  # nginx, none
    url: str  # how clients reach it
    port: int
    replica: str

    @classmethod
    def read(cls, path: Path) -> "Boot":
        """The boot of the file at `path`."""
        document: dict[str, Any] = json.loads(path.read_text())
        return cls(settings=Settings.model_validate(document.pop("settings")), **document)

    def text(self) -> str:
        """The file's content."""
        return json.dumps(
            {
                # Only what was given: what is given pins site settings.
                "settings": {
                    **self.settings.model_dump(mode="json", exclude_unset=True),
                    "data": str(self.settings.data),
                },
                "edge": self.edge,
                "url": self.url,
                "port": self.port,
                "replica": self.replica,
            }
        )

    @property
    def service(self) -> str:
        """The name that tokens are issued by and for: host and port of the URL."""
        return self.url.partition("://")[2].rstrip("/")

    @property
    def hosts(self) -> frozenset[str]:
        """Every host, with and without port, that this server goes by."""
        names = [f"[{name}]" if ":" in name else name for name in self.settings.host_names]
        return frozenset([self.service, *names, *(f"{name}:{self.port}" for name in names)])

    def realm_of(self, origin: str) -> str:
        """The token service's URL for a request's origin; never at a host that is not ours."""
        known = origin.partition("://")[2] in self.hosts
        return f"{origin if known else self.url.rstrip('/')}/auth/token"


@dataclass(frozen=True)
class Parts:
    """The use cases of one process, composed: what doors, jobs and the command line call."""

    boot: Boot
    folder: DataFolder
    clock: SystemClock
    database: Database
    secrets: SecretStore
    passwords: Passwords
    signer: TokenSigner
    sign_in: SignIn
    users: Users
    access_tokens: AccessTokens
    authenticator: AccountAuthenticator
    blobs: FilesystemBlobs
    staging: Staging
    points: RegistryPoints
    garbage: Garbage
    verification: Verification
    health: HealthChecks
    live: LiveSettings
    replicas: Replicas

    def switches(self) -> Switches:
        """The registry's switches as they are now."""
        now = self.live.current
        return Switches(
            read_only=now.read_only,
            deletes=now.deletes,
            create_repository_on_push=now.create_repository_on_push,
            anonymous_access=now.anonymous_access,
            sparse_images=self.boot.settings.registry.sparse_images,
        )


def make_passwords(settings: Settings) -> Passwords:
    """argon2id by the settings."""
    section = settings.passwords
    return Passwords(HashParameters(section.memory_kib, section.iterations, section.lanes))


def make_certificates(
    settings: Settings, folder: DataFolder, database: Database, secrets: SecretStore
) -> ServerCertificates:
    """Which certificate the server shows, by the settings. Errors: SettingsError."""
    tls = settings.tls
    if (tls.certificate is None) != (tls.key is None):
        raise SettingsError("tls.certificate and tls.key go together: give both, or none")
    own = OwnFiles(tls.certificate, tls.key) if tls.certificate is not None and tls.key is not None else None
    life, renew_before = timedelta(days=tls.days), timedelta(days=tls.renew_days)
    return ServerCertificates(database, secrets, folder, settings.host_names, life, renew_before, own)


def load_master_key(folder: DataFolder, *, may_create: bool) -> MasterKey:
    """The master key: the file that LADING_MASTER_KEY_FILE names, or the data folder's. Errors: SettingsError."""
    elsewhere = os.environ.get("LADING_MASTER_KEY_FILE")
    if elsewhere:
        return MasterKey.load_or_create(Path(elsewhere), may_create=False)
    return MasterKey.load_or_create(folder.master_key, may_create=may_create)


def make_live_settings(database: Database, clock: SystemClock, settings: Settings) -> LiveSettings:
    """Site settings over the boot settings; what file and environment gave is pinned."""
    registry = settings.registry
    names = [field.name for field in fields(SiteSettings)]
    pinned = {name: f"registry.{name}" for name in names if name in registry.model_fields_set}
    return LiveSettings(database, clock, SiteSettings(**{name: getattr(registry, name) for name in names}), pinned)


def make_rest(parts: Parts, *, everyone: Principal = ANONYMOUS) -> Door:
    """The REST doors. `everyone` is who those without credentials are."""
    # Imported here, since FastAPI takes long to import, and neither the job worker nor most commands have REST doors.
    from lading.accounts import api as accounts_api  # noqa: PLC0415 — see above
    from lading.accounts import grants_api, organizations_api, tokens_api  # noqa: PLC0415
    from lading.cluster import api as cluster_api  # noqa: PLC0415
    from lading.registry import access_api  # noqa: PLC0415
    from lading.registry import api as registry_api  # noqa: PLC0415
    from lading.web.api import make_api  # noqa: PLC0415

    boot = parts.boot
    repositories = Repositories(parts.database, parts.clock, parts.switches)
    tags = RepositoryTags(parts.database, repositories, parts.blobs, parts.clock)
    access = AccountAccess(parts.database)
    organizations = Organizations(parts.database, parts.clock)
    granting = Granting(parts.database, parts.clock)
    robots = Robots(parts.database, parts.clock, parts.access_tokens)
    deletion = AccountDeletion(parts.database, parts.clock, [OwnedRepositories(parts.switches)])
    site = cluster_api.Site(boot.service, boot.port, boot.replica, __version__)
    routers = (
        registry_api.router(repositories, tags),
        accounts_api.router(parts.users, organizations, access, deletion, parts.sign_in),
        tokens_api.router(access, parts.access_tokens),
        organizations_api.router(parts.users, organizations, access),
        grants_api.router(granting, robots, parts.users, access),
        access_api.router(repositories, granting, access),
        cluster_api.router(parts.database, parts.live, parts.replicas, parts.clock, site),
    )
    return make_api(routers, parts.authenticator, version=__version__, everyone=everyone)


@asynccontextmanager
async def open_parts(boot: Boot) -> AsyncIterator[Parts]:
    """All use cases over an open database, whose schema must be there already."""
    settings = boot.settings
    folder, clock = DataFolder(settings.data), SystemClock()
    secrets = SecretStore(load_master_key(folder, may_create=False))
    database = await Database.open(settings.database_url, pool_size=settings.database.pool_size)
    try:
        signer = await TokenSigner.load(database, secrets)
        passwords = make_passwords(settings)
        sign_in = SignIn(database, passwords, Throttle(), clock)
        blobs, staging = FilesystemBlobs(folder.blobs, folder.quarantine), Staging(folder.uploads)
        live = make_live_settings(database, clock, settings)
        await live.refresh()
        health = HealthChecks(database, blobs, signer)
        yield Parts(
            boot=boot,
            folder=folder,
            clock=clock,
            database=database,
            secrets=secrets,
            passwords=passwords,
            signer=signer,
            sign_in=sign_in,
            users=Users(database, passwords, clock, settings.passwords.minimum_length),
            access_tokens=AccessTokens(database, clock),
            authenticator=AccountAuthenticator(database, sign_in, signer, clock, service=boot.service),
            blobs=blobs,
            staging=staging,
            points=RegistryPoints(database.points),
            garbage=Garbage(
                database,
                blobs,
                staging,
                clock,
                holder=f"{boot.replica}-{os.getpid()}",
                grace=timedelta(hours=settings.garbage.grace_hours),
                upload_lifetime=timedelta(hours=settings.registry.upload_lifetime_hours),
                untagged_manifests=settings.garbage.untagged_manifests,
            ),
            verification=Verification(database, blobs, clock),
            health=health,
            live=live,
            replicas=Replicas(database, health, clock, boot.replica, lambda: live.current.read_only),
        )
    finally:
        await database.close()


@dataclass(frozen=True)
class Doors:
    """All doors of one process."""

    registry: RegistryDoor
    token: TokenDoor
    api: Door
    open: OpenDoor

    def at(self, path: bytes) -> tuple[str, Door]:
        """The door that the raw path leads to, after its name."""
        if path.startswith(b"/v2/") or path in {b"/v2", b"/_edge/check"}:
            return "registry", self.registry
        if path == b"/auth/token":
            return "token", self.token
        if path.startswith((b"/api/", b"/enzi/")):
            return "api", self.api
        return "open", self.open


def make_doors(parts: Parts) -> Doors:
    """All doors to the use cases."""
    boot = parts.boot
    token_service = TokenService(
        RepositoryVisibility(parts.database),
        Rights(parts.database.points),
        parts.signer,
        parts.clock,
        boot.service,
        timedelta(seconds=boot.settings.tokens.lifetime_seconds),
    )
    return Doors(
        registry=make_registry(parts),
        token=TokenDoor(
            parts.sign_in,
            parts.access_tokens,
            token_service,
            boot.hosts,
            lambda: parts.switches().anonymous_access,
        ),
        api=make_rest(parts),
        open=OpenDoor(
            parts.health,
            parts.folder.tls / "ca.pem",
            parts.folder.metrics,
            boot.url,
            [*LOOPBACK, *boot.settings.server.status_networks],
        ),
    )


def make_registry(parts: Parts) -> RegistryDoor:
    """The OCI door."""
    boot, limits = parts.boot, parts.boot.settings.registry
    grace = timedelta(hours=boot.settings.garbage.grace_hours)
    pulls = Pulls(
        parts.database,
        parts.points,
        ManifestBytes(parts.database, limit_bytes=limits.manifest_cache_bytes),
        PullCounts(),
        parts.clock,
        grace,
    )
    uploads = Uploads(
        parts.database,
        parts.points,
        parts.staging,
        parts.blobs,
        parts.clock,
        parts.switches,
        Limits(limits.blob_limit_bytes, limits.reserve_bytes),
        boot.replica,
        grace,
    )
    return RegistryDoor(
        authenticator=parts.authenticator,
        challenges=Challenges(boot.realm_of, boot.service),
        switches=parts.switches,
        pulls=pulls,
        pushes=Pushes(parts.database, parts.points, parts.clock, parts.switches),
        uploads=uploads,
        deletions=Deletions(parts.database, parts.points, parts.clock, parts.switches),
        listings=Listings(parts.database, parts.points),
        blobs=parts.blobs,
        manifest_limit_bytes=limits.manifest_limit_bytes,
        spool=parts.folder.spool if boot.edge == "nginx" else None,
    )


class Application:
    """The application: sends each path to its door. An ASGI application, too, for when no nginx stands in front."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._parts: contextlib.AsyncExitStack = contextlib.AsyncExitStack()
        self._metrics = Metrics()
        self._doors: Doors | None = None

    async def door(self, request: Request) -> Answer:
        """The door that the path leads to, asked."""
        if self._doors is None:
            raise RuntimeError("a request came before the start was over")
        name, door = self._doors.at(request.path)
        began = time.perf_counter()
        answer = await self._asked(door, request)
        self._metrics.count(name, request.method, answer.status, time.perf_counter() - began)
        return answer

    async def _asked(self, door: Door, request: Request) -> Answer:
        try:
            return await door(request)
        except Exception:
            # Said here once, with its trace; what the client gets says nothing of it.
            log.exception("unexpected failure", request_id=request.request_id, method=request.method)
            body = {
                "errors": [{"code": "UNKNOWN", "message": "something failed; tell the administrator the request id"}]
            }
            document = json.dumps({**body, "requestId": request.request_id}).encode()
            return Answer(500, [("content-type", "application/json")], document)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await answer_asgi(self.door, scope, receive, send)

    async def close(self) -> None:
        """All is given back."""
        await self._parts.aclose()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception:
            log.exception("the app worker can't start")
            await send({"type": "lifespan.startup.failed"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """All doors are open."""
        parts = await self._parts.enter_async_context(open_parts(self._boot))
        self._doors = make_doors(parts)
        pulls, uploads = self._doors.registry.pulls, self._doors.registry.uploads
        self._metrics.sources |= {
            "point_reads": lambda: parts.database.points.count,
            "manifest_cache_hits": lambda: pulls.bytes_of.hits,
            "manifest_cache_misses": lambda: pulls.bytes_of.misses,
            "blob_bytes_sent": lambda: pulls.counts.blob_bytes,
            "uploads": lambda: uploads.counts.uploads,
            "upload_bytes": lambda: uploads.counts.size_bytes,
        }
        background: Sequence[tuple[timedelta, Callable[[], Awaitable[None]]]] = (
            (_COUNTS_EVERY, pulls.write_counts),
            (_COUNTS_EVERY, self._metrics.flush),
            (RELOAD_EVERY, parts.signer.reload),
            (SETTINGS_EVERY, parts.live.refresh),
            (HEARTBEAT, parts.replicas.beat),
        )
        for every, work in background:
            task = asyncio.create_task(_repeat(every, work))
            self._parts.push_async_callback(_end, task)
        self._parts.push_async_callback(pulls.write_counts)


async def _repeat(every: timedelta, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(every.total_seconds())
        try:
            await work()
        except Exception:
            log.exception("background work failed; it is tried again")


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


GARBAGE, HISTORY = "onlinegc", "job_history"
"""Actions of jobs; DTR's word for the first."""


def handlers(parts: Parts) -> dict[str, Handler]:
    """What the job worker can do, by action."""
    jobs = parts.boot.settings.jobs
    # Who starts again after a kill goes on where he was: the lease is his, not the dead process's.
    garbage = replace(parts.garbage, holder=f"{parts.boot.replica}-jobs")

    async def collect(_job: Job, context: JobContext) -> None:
        async def progress(done: int, total: int, _what: str) -> None:
            await context.progress(done, total)

        collected = await garbage.collect(progress)
        await context.log(
            f"collected {collected.blobs.count} blobs ({collected.blobs.size_bytes} bytes), {collected.manifests} "
            f"manifests, {collected.uploads} uploads, {collected.stray.count} stray files"
        )

    history = History(parts.database, parts.clock, jobs.history_keep, timedelta(days=jobs.history_days))
    return {GARBAGE: collect, HISTORY: history}


async def run_jobs(boot: Boot) -> None:
    """Works on the queue until SIGTERM."""
    async with open_parts(boot) as parts:
        await _set_schedules(parts)
        worker = Worker(parts.database, parts.clock, handlers(parts), boot.replica)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()


async def _set_schedules(parts: Parts) -> None:
    """The schedules that the settings name."""
    schedules = Schedules(parts.database, parts.clock)
    for action, wanted in ((GARBAGE, parts.boot.settings.garbage.schedule), (HISTORY, "@daily")):
        if wanted:
            await schedules.put(action, wanted)
        else:
            await schedules.delete(action)


async def run_worker(boot: Boot, listening: socket.socket) -> None:
    """Answers nginx on the socket until SIGTERM; then what runs is finished, for `drain_seconds` at most."""
    application = Application(boot)
    await application.start()
    gc.collect()
    gc.freeze()  # what was made so far stays for good: the collector need not look at it again while requests wait
    loop, tasks, ending = asyncio.get_running_loop(), set[asyncio.Task[None]](), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    server = await loop.create_unix_server(lambda: UnixFront(application.door, tasks), sock=listening)
    await ending.wait()
    server.close()
    if tasks:
        await asyncio.wait(tasks, timeout=boot.settings.server.drain_seconds)
    await application.close()


def _boot() -> Boot:
    """The boot of this run; called first in each process of it."""
    die_with_parent()
    boot = Boot.read(Path(os.environ["LADING_BOOT"]))
    logs.configure(boot.settings.log.level, boot.settings.log.format)
    return boot


def application() -> Application:
    """The application of this run, made in each worker of an ASGI server."""
    return Application(_boot())


def main() -> None:
    """`jobs`, or `worker` with the number of the listening socket's descriptor."""
    match sys.argv[1:]:
        case ["jobs"]:
            uvloop.run(run_jobs(_boot()))
        case ["worker", descriptor]:
            uvloop.run(run_worker(_boot(), socket.socket(fileno=int(descriptor))))
        case _:
            sys.exit("this is started by `lading serve`")


if __name__ == "__main__":
    main()
