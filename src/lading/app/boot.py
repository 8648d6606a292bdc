"""One run of the server, as `lading serve` resolved it, and what follows from its settings alone."""

import json
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from lading.accounts.certificate_sign_in import CertificateRules
from lading.accounts.passwords import HashParameters, Passwords
from lading.cluster.site import LiveSettings, SiteSettings
from lading.core.clock import SystemClock
from lading.core.errors import InvalidError, SettingsError
from lading.core.folders import DataFolder
from lading.database import Database
from lading.keys.client_authority import ClientAuthority
from lading.keys.master import MasterKey
from lading.keys.public_keys import check_authorities
from lading.keys.server_certificate import OwnFiles, ServerCertificates
from lading.keys.store import SecretStore
from lading.settings import Settings


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
