"""Signing in by a client certificate: what the edge says of it, and whose key it is. The database is asked every time.

Rules, in order:
1. The edge verified the chain; it said SUCCESS, or the certificate counts for nothing.
2. It is in its time now, too: a connection may outlive a certificate.
3. An authority that is accepted now signed it, itself: ours, or one of the additional ones.
4. Its public key names the account. One that our authority issued also names it by its common name; deleting the key
   revokes it.
5. One of an additional authority whose key nobody registered names the account by its common name, if the setting says so.
6. The account is an active user or robot.

Source: DTR reference 3.5.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from cachetools import LRUCache

from lading.accounts import store
from lading.accounts.accounts import Account, Proof
from lading.accounts.public_key_store import ACCOUNTS_BY_KEY
from lading.core.clock import Clock
from lading.core.errors import InvalidError, UnauthenticatedError
from lading.database import Points
from lading.keys.authority import NAME_LIMIT
from lading.keys.client_authority import find_client_authorities
from lading.keys.public_keys import Certificate
from lading.web.exchange import ClientCertificate

_REMEMBERED = 2000
_REMEMBERED_LIMIT = 24 * 1024  # characters of an escaped certificate; longer ones are not PEM_LIMIT's
_GOOD = "SUCCESS"
_UNKNOWN_ISSUER = "no authority that this registry accepts issued it"
_UNKNOWN_KEY = "its key is not registered with an active account"


class CertificateRefusedError(UnauthenticatedError):
    """A certificate that signs nobody in, and why: what it says is the client's own."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the client certificate is not accepted: {reason}")


@dataclass(frozen=True, slots=True)
class CertificateRules:
    """What is accepted now. `additional` are authorities beside our own, PEM."""

    enabled: bool = False
    additional: str = ""
    name_from_cn: bool = False


class CertificateSignIn:
    """The use case of proving who one is by a certificate. What it remembers is what a certificate says, and who signed it."""

    def __init__(self, points: Points, clock: Clock, rules: Callable[[], CertificateRules]) -> None:
        self._points = points
        self._clock = clock
        self._rules = rules
        self._read: LRUCache[str, Certificate] = LRUCache(_REMEMBERED)
        self._issued: LRUCache[tuple[str, str], bool] = LRUCache(_REMEMBERED)

    async def find(self, presented: ClientCertificate) -> Proof | None:
        """Who the certificate signs in; None while certificates are switched off. Errors: CertificateRefusedError."""
        rules = self._rules()
        if not rules.enabled:
            return None
        if presented.verdict != _GOOD:
            raise CertificateRefusedError(presented.verdict.removeprefix("FAILED:")[:200] or "it was not verified")
        certificate = self._certificate(presented.escaped)
        _check_time(certificate, self._clock.now())
        is_ours = self._is_issued_by(presented.escaped, certificate, await find_client_authorities(self._points))
        if not is_ours and not self._is_issued_by(presented.escaped, certificate, rules.additional):
            raise CertificateRefusedError(_UNKNOWN_ISSUER)
        account = _account_of(certificate, await self._holders(certificate), is_ours=is_ours)
        if account is None and not is_ours and rules.name_from_cn and certificate.common_name:
            account = await self._named(certificate.common_name)
        if account is None or not account.is_active or account.is_organization:
            raise CertificateRefusedError(_UNKNOWN_KEY)
        return Proof(account, is_certificate=True)

    def _certificate(self, escaped: str) -> Certificate:
        known = self._read.get(escaped)
        if known is None:
            if len(escaped) > _REMEMBERED_LIMIT:
                raise CertificateRefusedError("it is too long")
            try:
                known = self._read[escaped] = Certificate.parse(unquote(escaped))
            except InvalidError as error:
                raise CertificateRefusedError(error.message) from error
        return known

    def _is_issued_by(self, escaped: str, certificate: Certificate, authorities: str) -> bool:
        known = self._issued.get((escaped, authorities))
        if known is None:
            known = self._issued[escaped, authorities] = certificate.is_issued_by(authorities)
        return known

    async def _holders(self, certificate: Certificate) -> list[Account]:
        return [store.account_of(row) for row in await self._points.rows(ACCOUNTS_BY_KEY, key=certificate.key_id)]

    async def _named(self, name: str) -> Account | None:
        row = None if "\0" in name else await self._points.first(store.ACCOUNT_BY_NAME, name=name)
        return None if row is None else store.account_of(row)


def _check_time(certificate: Certificate, now: datetime) -> None:
    if not certificate.begins_at <= now <= certificate.ends_at:
        first, last = certificate.begins_at, certificate.ends_at
        raise CertificateRefusedError(f"it is valid from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, not now")


def _account_of(certificate: Certificate, holders: Sequence[Account], *, is_ours: bool) -> Account | None:
    """The holder whose name the certificate tells; one from elsewhere may name none, and then the first holder counts.

    So nobody takes a certificate over by registering its public key, which everybody may know.
    """
    named = [account for account in holders if account.name[:NAME_LIMIT] == certificate.common_name]
    if named:
        return named[0]
    return None if is_ours or not holders else holders[0]
