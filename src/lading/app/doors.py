"""Every door of one process, and which path leads to which."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from lading.accounts.oidc_routes import OidcDoor
from lading.accounts.oidc_sign_in import OidcSignIn
from lading.accounts.rights import Rights
from lading.accounts.routes import TokenDoor
from lading.accounts.session_routes import Provider, SessionDoor
from lading.accounts.token_service import TokenService
from lading.app.parts import Parts
from lading.app.rest import make_rest
from lading.cluster.routes import LOOPBACK, OpenDoor
from lading.registry.challenge import Challenges
from lading.registry.deletion import Deletions
from lading.registry.listing import Listings
from lading.registry.pull import ManifestBytes, PullCounts, Pulls
from lading.registry.push import Pushes
from lading.registry.repositories import RepositoryVisibility
from lading.registry.routes import RegistryDoor
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
