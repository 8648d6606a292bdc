"""Every door of one process, and which path leads to which."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from lading import __version__
from lading.access import ANONYMOUS, Principal
from lading.accounts.account_access import AccountAccess
from lading.accounts.account_deletion import AccountDeletion
from lading.accounts.account_names import AccountNames
from lading.accounts.client_bundles import ClientBundles
from lading.accounts.granting import Granting
from lading.accounts.oidc_routes import OidcDoor
from lading.accounts.oidc_sign_in import OidcSignIn
from lading.accounts.organizations import Organizations
from lading.accounts.public_keys import PublicKeys
from lading.accounts.rights import Rights
from lading.accounts.robots import Robots
from lading.accounts.routes import TokenDoor
from lading.accounts.token_service import TokenService
from lading.app.boot import make_certificates
from lading.app.parts import Parts
from lading.app.work import ACTIONS
from lading.cluster.routes import LOOPBACK, OpenDoor
from lading.events.feed import Feed
from lading.jobs.configs import ActionConfigs
from lading.jobs.queue import Queue
from lading.jobs.schedules import Schedules
from lading.jobs.workers import Workers
from lading.registry.challenge import Challenges
from lading.registry.deletion import Deletions
from lading.registry.listing import Listings
from lading.registry.owned import OwnedRepositories
from lading.registry.pull import ManifestBytes, PullCounts, Pulls
from lading.registry.push import Pushes
from lading.registry.repositories import Repositories, RepositoryVisibility
from lading.registry.routes import RegistryDoor
from lading.registry.tags import RepositoryTags
from lading.registry.uploads import Limits, Uploads
from lading.web.exchange import Door
from lading.web.explorer import EXPLORER, ExplorerDoor

SESSION_PATHS = frozenset({b"/login", b"/logout", b"/auth/login", b"/id/logout"})
API_PATHS = frozenset({b"/accounts", b"/basic_info", b"/id", b"/v1/search"})


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
        parts.refusals.refused,
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
        refused=parts.refusals.refused,
    )


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
