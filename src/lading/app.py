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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
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
from lading.accounts.account_names import AccountNames
from lading.accounts.authenticator import AccountAuthenticator
from lading.accounts.certificate_sign_in import CertificateRules, CertificateSignIn
from lading.accounts.client_bundles import ClientBundles
from lading.accounts.directory_settings import DirectorySettings
from lading.accounts.directory_sign_in import SYNC, DirectorySignIn
from lading.accounts.directory_sync import DirectorySync
from lading.accounts.granting import Granting
from lading.accounts.oidc_providers import OidcProviders
from lading.accounts.oidc_routes import OidcDoor
from lading.accounts.oidc_sign_in import OidcSignIn
from lading.accounts.organizations import Organizations
from lading.accounts.passwords import HashParameters, Passwords
from lading.accounts.public_keys import PublicKeys
from lading.accounts.rights import Rights
from lading.accounts.robots import Robots
from lading.accounts.routes import TokenDoor
from lading.accounts.sessions import Sessions, SessionSettings
from lading.accounts.sign_in import SignIn
from lading.accounts.sign_in_log import SignInLog
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
from lading.core.durations import LONGEST
from lading.core.errors import InvalidError, SettingsError
from lading.core.folders import DataFolder
from lading.database import Database
from lading.edge.lifeline import die_with_parent
from lading.events import tables as events_tables
from lading.events.feed import Feed
from lading.events.log import Actor
from lading.events.refusals import RefusalLog
from lading.events.retention import Retention
from lading.jobs import tables as jobs_tables
from lading.jobs.actions import Action
from lading.jobs.configs import ActionConfigs
from lading.jobs.context import Handler, JobContext
from lading.jobs.history import History
from lading.jobs.jobs import Job
from lading.jobs.keeping import Keep
from lading.jobs.queue import Queue
from lading.jobs.schedules import Schedules
from lading.jobs.worker import Worker
from lading.jobs.workers import Workers
from lading.keys import tables as keys_tables
from lading.keys.client_authority import ClientAuthority
from lading.keys.master import MasterKey
from lading.keys.public_keys import check_authorities
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
from lading.web.explorer import EXPLORER, ExplorerDoor
from lading.web.metrics import Metrics
from lading.web.unix import UnixFront

log = structlog.get_logger()

SESSION_PATHS = frozenset({b"/login", b"/logout", b"/auth/login", b"/id/logout"})
API_PATHS = frozenset({b"/accounts", b"/basic_info", b"/id", b"/v1/search"})
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
        return f"{self.base_of(origin)}/auth/token"

    def base_of(self, origin: str) -> str:
        """The origin, or our own URL when its host is not ours."""
        return origin if origin.partition("://")[2] in self.hosts else self.url.rstrip("/")


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
    directory: DirectorySignIn
    certificate_sign_in: CertificateSignIn
    client_authority: ClientAuthority
    users: Users
    access_tokens: AccessTokens
    authenticator: AccountAuthenticator
    sessions: Sessions
    oidc: OidcProviders
    blobs: FilesystemBlobs
    staging: Staging
    points: RegistryPoints
    garbage: Garbage
    verification: Verification
    health: HealthChecks
    live: LiveSettings
    replicas: Replicas
    sign_in_log: SignInLog
    refusals: RefusalLog

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


def make_client_authority(
    settings: Settings, database: Database, secrets: SecretStore, clock: SystemClock
) -> ClientAuthority:
    """The authority of client certificates, by the settings."""
    return ClientAuthority(database, secrets, clock, settings.host_names[0], timedelta(days=settings.tls.client_days))


def certificate_rules(live: LiveSettings, settings: Settings) -> CertificateRules:
    """Which client certificates are accepted now."""
    now = live.current
    return CertificateRules(now.client_certificates, now.client_authorities, settings.tls.client_name_from_cn)


def load_master_key(folder: DataFolder, *, may_create: bool) -> MasterKey:
    """The master key: the file that LADING_MASTER_KEY_FILE names, or the data folder's. Errors: SettingsError."""
    elsewhere = os.environ.get("LADING_MASTER_KEY_FILE")
    if elsewhere:
        return MasterKey.load_or_create(Path(elsewhere), may_create=False)
    return MasterKey.load_or_create(folder.master_key, may_create=may_create)


_SITE_SETTINGS = {
    "read_only": ("registry", "read_only"),
    "create_repository_on_push": ("registry", "create_repository_on_push"),
    "deletes": ("registry", "deletes"),
    "anonymous_access": ("registry", "anonymous_access"),
    "pull_events": ("events", "pulls"),
    "job_history_keep": ("jobs", "history_keep"),
    "job_history_age": ("jobs", "history_days"),
    "event_history_keep": ("events", "history_keep"),
    "event_history_age": ("events", "history_days"),
    "client_certificates": ("tls", "client_certificates"),
    "client_authorities": ("tls", "client_authorities"),
}
"""Site settings that have boot settings: the section, and the key in it."""


def make_live_settings(database: Database, clock: SystemClock, settings: Settings) -> LiveSettings:
    """Site settings over the boot settings; what file and environment gave is pinned."""
    values: dict[str, Any] = {}
    pinned: dict[str, str] = {}
    for name, (section, key) in _SITE_SETTINGS.items():
        part = getattr(settings, section)
        value = getattr(part, key)
        if key == "client_authorities":
            value = _read_authorities(value)
        values[name] = timedelta(days=value) if key == "history_days" else value
        if key in part.model_fields_set:
            pinned[name] = f"{section}.{key}"
    return LiveSettings(database, clock, SiteSettings(**values), pinned)


def _read_authorities(path: Path | None) -> str:
    """The file's certificates, PEM; none without a file. Errors: SettingsError."""
    try:
        text = "" if path is None else path.read_text()
        check_authorities(text)
    except (OSError, UnicodeDecodeError, InvalidError) as error:
        raise SettingsError(f"can't use tls.client_authorities {path}: {error}") from error
    return text


def make_rest(parts: Parts, *, everyone: Principal = ANONYMOUS) -> Door:
    """The REST doors. `everyone` is who those without credentials are."""
    # Imported here, since FastAPI takes long to import, and neither the job worker nor most commands have REST doors.
    from lading.accounts import api as accounts_api  # noqa: PLC0415 — see above
    from lading.accounts import (  # noqa: PLC0415
        grants_api,
        keys_api,
        ldap_api,
        oidc_api,
        organizations_api,
        sessions_api,
        tokens_api,
    )
    from lading.cluster import api as cluster_api  # noqa: PLC0415
    from lading.events import api as events_api  # noqa: PLC0415
    from lading.jobs import api as jobs_api  # noqa: PLC0415
    from lading.registry import access_api, search_api  # noqa: PLC0415
    from lading.registry import api as registry_api  # noqa: PLC0415
    from lading.registry.event_sight import RepositoryEvents  # noqa: PLC0415
    from lading.web.api import make_api  # noqa: PLC0415

    boot = parts.boot
    repositories = Repositories(parts.database, parts.clock, parts.switches)
    tags = RepositoryTags(parts.database, repositories, parts.blobs, parts.clock)
    access = AccountAccess(parts.database)
    organizations = Organizations(parts.database, parts.clock)
    granting = Granting(parts.database, parts.clock)
    robots = Robots(parts.database, parts.clock, parts.access_tokens)
    deletion = AccountDeletion(parts.database, parts.clock, [OwnedRepositories(parts.switches)])
    keys = PublicKeys(parts.database, parts.clock)
    certificates = make_certificates(boot.settings, parts.folder, parts.database, parts.secrets)
    bundles = ClientBundles(parts.client_authority, keys, parts.clock, boot.service, certificates.authority_pem)
    site = cluster_api.Site(boot.service, boot.port, boot.replica, __version__, parts.folder.tls / "certificate.pem")
    jobs = jobs_api.JobUseCases(
        Queue(parts.database, parts.clock),
        Schedules(parts.database, parts.clock),
        ActionConfigs(parts.database, parts.clock),
        Workers(parts.database, parts.clock),
        ACTIONS,
    )
    feed = Feed(parts.database, RepositoryEvents(repositories), AccountNames(parts.database))
    routers = (
        registry_api.router(repositories, tags),
        accounts_api.router(parts.users, organizations, access, deletion, parts.directory, parts.sign_in),
        tokens_api.router(access, parts.access_tokens),
        keys_api.router(access, keys, bundles),
        organizations_api.router(parts.users, organizations, access),
        grants_api.router(granting, robots, parts.users, access),
        oidc_api.router(parts.oidc),
        sessions_api.router(parts.sessions.settings, parts.users, __version__),
        access_api.router(repositories, granting, access),
        search_api.router(repositories, parts.users),
        ldap_api.router(parts.directory.settings, Schedules(parts.database, parts.clock), access, parts.clock),
        cluster_api.router(parts.database, parts.live, parts.replicas, parts.clock, site),
        jobs_api.router(jobs),
        events_api.router(feed),
    )
    refused = parts.refusals.refused
    return make_api(routers, parts.authenticator, version=__version__, everyone=everyone, refused=refused)


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
        directory_settings = DirectorySettings(database, clock, secrets)
        directory = DirectorySignIn(database, clock, directory_settings, remember=settings.passwords.remember_directory)
        sign_in_log = SignInLog(database, clock)
        sign_in = SignIn(database, passwords, Throttle(), clock, sign_in_log, directory)
        certificate_sign_in = CertificateSignIn(database.points, clock, lambda: certificate_rules(live, settings))
        sessions = Sessions(
            database,
            clock,
            SessionSettings(database, clock),
            directory.check_still_there,
            lambda: not live.current.session_cookies_only,
        )
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
            directory=directory,
            certificate_sign_in=certificate_sign_in,
            client_authority=make_client_authority(settings, database, secrets, clock),
            users=Users(database, passwords, clock, settings.passwords.minimum_length),
            access_tokens=AccessTokens(database, clock),
            authenticator=AccountAuthenticator(
                database, sign_in, certificate_sign_in, signer, clock, sessions=sessions, service=boot.service
            ),
            sessions=sessions,
            oidc=OidcProviders(database, clock, secrets),
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
            sign_in_log=sign_in_log,
            refusals=RefusalLog(database, clock),
        )
    finally:
        await database.close()


@dataclass(frozen=True)
class Doors:
    """All doors of one process."""

    registry: RegistryDoor
    token: TokenDoor
    session: Door
    oidc: OidcDoor
    api: Door
    explorer: ExplorerDoor
    open: OpenDoor

    def at(self, path: bytes) -> tuple[str, Door]:
        """The door that the raw path leads to, after its name."""
        if path.startswith(b"/v2/") or path in {b"/v2", b"/_edge/check"}:
            return "registry", self.registry
        if path == b"/auth/token":
            return "token", self.token
        if path.removeprefix(b"/enzi/v0") in SESSION_PATHS:
            return "session", self.session
        if path.startswith(b"/oidc/"):
            return "oidc", self.oidc
        if path.startswith((b"/api/", b"/enzi/", b"/accounts/", b"/id/")) or path in API_PATHS:
            return "api", self.api
        if path == EXPLORER or path.startswith(EXPLORER + b"/"):
            return "explorer", self.explorer
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
            parts.certificate_sign_in,
            parts.access_tokens,
            token_service,
            boot.hosts,
            lambda: parts.switches().anonymous_access,
        ),
        session=make_session(parts),
        oidc=OidcDoor(
            OidcSignIn(parts.database, parts.clock, parts.secrets, parts.oidc),
            parts.sessions,
            parts.sign_in_log,
            boot.base_of,
        ),
        api=make_rest(parts),
        explorer=ExplorerDoor(),
        open=OpenDoor(
            parts.health,
            parts.folder.tls / "ca.pem",
            parts.folder.metrics,
            boot.url,
            [*LOOPBACK, *boot.settings.server.status_networks],
        ),
    )


def make_session(parts: Parts) -> Door:
    """The door of browsers' sessions."""
    from lading.accounts.session_routes import Provider, SessionDoor  # noqa: PLC0415 — imports FastAPI, see `make_rest`

    async def providers() -> Sequence[Provider]:
        return [Provider(name, one.settings.title or name) for name, one in (await parts.oidc.list()).items()]

    return SessionDoor(parts.sign_in, parts.sessions, providers)


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
        lambda: parts.live.current.pull_events,
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
            (_COUNTS_EVERY, parts.sign_in_log.flush),
            (_COUNTS_EVERY, parts.refusals.flush),
            (RELOAD_EVERY, parts.signer.reload),
            (SETTINGS_EVERY, parts.live.refresh),
            (HEARTBEAT, parts.replicas.beat),
        )
        for every, work in background:
            task = asyncio.create_task(_repeat(every, work))
            self._parts.push_async_callback(_end, task)
        self._parts.push_async_callback(pulls.write_counts)
        self._parts.push_async_callback(parts.sign_in_log.flush, is_last=True)
        self._parts.push_async_callback(parts.refusals.flush, is_last=True)


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


GARBAGE, HISTORY, EVENT_HISTORY = "onlinegc", "onlinegc_joblogs", "onlinegc_events"
"""Actions of jobs, in DTR's words."""

_KEEP = {
    "toKeep": "how many stay at most, the newest; 0: any number. Without it, the site setting says",
    "maxAge": "the oldest that stay, such as 720h; 0: of any age. Without it, the site setting says",
}
ACTIONS: Mapping[str, Action] = {
    GARBAGE: Action("collects what no manifest needs any more"),
    HISTORY: Action("drops old finished jobs and their logs", _KEEP),
    EVENT_HISTORY: Action("drops old events", _KEEP),
    SYNC: Action("brings accounts, teams, owners and administrators up to the directory"),
}
"""What may be asked of the job worker, by action; `handlers` does it."""


def handlers(parts: Parts) -> dict[str, Handler]:
    """What the job worker can do, by action."""
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

    async def trim_jobs(job: Job, context: JobContext) -> None:
        await parts.live.refresh()
        now = parts.live.current
        settings = Keep.by_settings(is_on=now.job_history, count=now.job_history_keep, age=now.job_history_age)
        keep = settings.asked_by(job)
        await History(parts.database, parts.clock, keep.count or _ANY_NUMBER, keep.age or LONGEST)(job, context)

    async def trim_events(job: Job, context: JobContext) -> None:
        async def told(gone: int) -> None:
            context.check()
            await context.progress(gone, 0)

        await parts.live.refresh()
        now = parts.live.current
        settings = Keep.by_settings(is_on=now.event_history, count=now.event_history_keep, age=now.event_history_age)
        keep = settings.asked_by(job)
        retention = Retention(parts.database, parts.clock)
        gone = await retention.trim(keep=keep.count, age=keep.age, told=told, by=Actor.job(job.id))
        await context.log(f"dropped {gone} events")

    sync = DirectorySync(parts.database, parts.clock, parts.directory.settings, f"{parts.boot.replica}-jobs")
    return {GARBAGE: collect, HISTORY: trim_jobs, EVENT_HISTORY: trim_events, SYNC: sync}


_ANY_NUMBER = 2**31 - 1


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
    """What runs by itself: as the settings say; without that, as somebody set it while the server ran, else as usual."""
    schedules, garbage = Schedules(parts.database, parts.clock), parts.boot.settings.garbage
    if "schedule" not in garbage.model_fields_set:
        await schedules.put_first(GARBAGE, garbage.schedule)
    elif garbage.schedule:
        await schedules.put(GARBAGE, garbage.schedule)
    else:
        await schedules.delete(GARBAGE)
    await schedules.put_first(HISTORY, "@daily")
    await schedules.put_first(EVENT_HISTORY, "@hourly")


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
