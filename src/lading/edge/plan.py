"""What the edge needs to know of the settings, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass

from lading.core.folders import DataFolder


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """One run of the server, decided: where it listens, what it serves from, how much it takes."""

    folder: DataFolder
    host: str  # an address; 0.0.0.0 and :: are all of them
    port: int  # never 0
    is_nginx: bool
    nginx: str = ""  # its path
    workers: int = 1
    drain_seconds: int = 10
    user: str = ""  # whom nginx and the app become when started as root
    http_redirect_port: int = 0
    external_url: str = ""
    trusted_proxies: Sequence[str] = ()
    status_networks: Sequence[str] = ()
    manifest_limit_bytes: int = 4 * 1024 * 1024
    blob_limit_bytes: int = 0
    access_log: bool = True
    client_certificates: bool = False  # clients are asked for one, which tls/client-ca.pem is to vouch for

    @property
    def address(self) -> str:
        """The address as URLs and nginx write it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def public_host(self) -> str:
        """A name that this machine answers to."""
        return "localhost" if self.host in {"0.0.0.0", "::", "127.0.0.1", "::1"} else self.address  # noqa: S104 — compared

    @property
    def local_url(self) -> str:
        """Where this server listens, whatever it is called outside."""
        return f"https://{self.public_host}:{self.port}"

    @property
    def url(self) -> str:
        """How clients reach this server."""
        return self.external_url or self.local_url
