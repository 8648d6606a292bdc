"""Which certificate the server shows: the operator's own, by settings or installed, or the one made here and kept fresh.

Whoever wins is written to `tls/` in the data folder, where nginx and the app server read it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificates

from lading.core.errors import SettingsError
from lading.core.folders import DataFolder, write_durably
from lading.database import Database
from lading.keys.authority import Authority, KeyPair, needs_renewal
from lading.keys.store import Secret, SecretStore

AUTHORITY = "authority"
_MADE = "server-certificate"
_INSTALLED = "installed-certificate"


class CertificateInvalidError(SettingsError):
    """A certificate or key that can't be used."""

    code = "INVALID_SETTINGS"


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """Where the operator keeps certificate and key, PEM."""

    certificate: Path
    key: Path


def check_pair(pair: KeyPair, now: datetime) -> None:
    """Returns when certificate and key belong together and are in their time. Errors: CertificateInvalidError."""
    try:
        leaf = load_pem_x509_certificates(pair.certificate.encode())[0]
        key = serialization.load_pem_private_key(pair.key.encode(), None)
    except (ValueError, TypeError) as error:
        raise CertificateInvalidError(
            "the certificate and its key must be PEM, the key without a passphrase"
        ) from error
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*spki) != key.public_key().public_bytes(*spki):
        raise CertificateInvalidError("the key does not belong to the certificate (the server's own must come first)")
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        first, last = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        raise CertificateInvalidError(f"the certificate is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}, not now")


@dataclass(frozen=True)
class ServerCertificates:
    """Keeps `tls/` up to date. `names` are what a made certificate is for."""

    database: Database
    store: SecretStore
    folder: DataFolder
    names: Sequence[str]
    life: timedelta
    renew_before: timedelta
    own: OwnFiles | None = None

    async def refresh(self, now: datetime) -> bool:
        """`tls/` holds the certificate to show now; True when it held another before. Errors: CertificateInvalidError."""
        authority = await self.authority()
        pair = await self.current(authority, now)
        wanted = {
            "ca.pem": authority.pair.certificate,
            "key.pem": pair.key,
            "certificate.pem": pair.certificate,  # last: whoever sees the new one finds its key already there
        }
        changed = False
        for name, text in wanted.items():
            path = self.folder.tls / name
            if not path.exists() or path.read_text() != text:
                write_durably(path, text.encode())
                changed = True
        return changed

    async def authority(self) -> Authority:
        """The installation's authority, which the first start made."""
        async with self.database.read() as connection:
            found = await self.store.list_active(connection, AUTHORITY)
        if not found:
            raise SettingsError("this installation has no certificate authority yet: run `lading serve` once")
        return Authority(KeyPair(found[-1].public, found[-1].value.decode()))

    async def authority_pem(self) -> str:
        """The authority's certificate, which clients are to trust."""
        return (await self.authority()).pair.certificate

    async def install(self, pair: KeyPair, now: datetime) -> None:
        """The operator's pair is shown from the next refresh on. Errors: CertificateInvalidError."""
        check_pair(pair, now)
        serial = f"{pair.leaf.serial_number:x}"[:40] + f"-{now:%Y%m%d%H%M%S%f}"
        async with self.database.write() as unit:
            await self.store.deactivate(unit, _INSTALLED)
            await self.store.add(
                unit,
                Secret(_INSTALLED, serial, pair.key.encode(), pair.certificate, now, pair.leaf.not_valid_after_utc),
            )

    async def reset(self) -> None:
        """The made certificate is shown again from the next refresh on."""
        async with self.database.write() as unit:
            await self.store.deactivate(unit, _INSTALLED)

    async def current(self, authority: Authority, now: datetime) -> KeyPair:
        """The pair to show now; made when it is needed. Errors: CertificateInvalidError."""
        if self.own is not None:
            pair = _read_own(self.own)
            check_pair(pair, now)
            return pair
        async with self.database.read() as connection:
            installed = await self.store.list_active(connection, _INSTALLED)
            made = await self.store.list_active(connection, _MADE)
        if installed:
            return KeyPair(installed[0].public, installed[0].value.decode())
        if made:
            pair = KeyPair(made[0].public, made[0].value.decode())
            if not needs_renewal(pair.leaf, self.names, now, self.renew_before):
                return pair
        return await self._make(authority, now)

    async def _make(self, authority: Authority, now: datetime) -> KeyPair:
        pair = authority.issue(self.names, now, self.life)
        serial = f"{pair.leaf.serial_number:x}"
        async with self.database.write() as unit:
            await self.store.deactivate(unit, _MADE)
            await self.store.add(
                unit, Secret(_MADE, serial, pair.key.encode(), pair.certificate, now, pair.leaf.not_valid_after_utc)
            )
        return pair


def _read_own(files: OwnFiles) -> KeyPair:
    try:
        return KeyPair(files.certificate.read_text(), files.key.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise CertificateInvalidError(f"can't read tls.certificate or tls.key: {error}") from error


def certificate_end(path: Path) -> datetime | None:
    """Until when the certificate in the PEM file is good; None when there is none to read. Blocks."""
    try:
        return load_pem_x509_certificates(path.read_bytes())[0].not_valid_after_utc
    except (OSError, ValueError):
        return None
