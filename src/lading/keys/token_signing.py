"""Signing and checking registry bearer tokens: ES256, by keys that are made here and found by their `kid` only.

A token's own header never brings a key: `jwk`, `jku`, `x5c` and `crit` are refused (CVE-2025-24976), and so is every
algorithm but ES256. Sources: RFC 7515, RFC 7519, RFC 7638 (the kid is the key's thumbprint), RFC 8725.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from lading.core.errors import UnauthenticatedError
from lading.database import Database
from lading.keys.store import Secret, SecretStore

KIND = "token-signing"
_ALGORITHMS = ["ES256"]
_TOKEN_LIMIT = 8192  # bytes
_FORBIDDEN = frozenset({"jwk", "jku", "x5c", "x5u", "crit"})
RELOAD_EVERY = timedelta(seconds=10)
_RIPE = 3 * RELOAD_EVERY
_LEEWAY_SECONDS = 5  # replicas' clocks may differ a little


class TokenInvalidError(UnauthenticatedError):
    """Not a living token of this registry; why is nobody's business."""

    def __init__(self) -> None:
        super().__init__("the token is not valid (any more)")


class TokenSigner:
    """The signing keys, in memory. The newest signs, all that are active and in their time check."""

    def __init__(self, database: Database, store: SecretStore) -> None:
        self._database = database
        self._store = store
        self._keys: dict[str, tuple[ECKey, datetime | None]] = {}
        self._newest = ""

    @classmethod
    async def load(cls, database: Database, store: SecretStore) -> Self:
        """The signer with the keys there are."""
        signer = cls(database, store)
        await signer.reload()
        return signer

    async def reload(self) -> None:
        """Reads the keys anew; call it every `RELOAD_EVERY`, so that a rotation by another process is seen."""
        async with self._database.read() as connection:
            found = await self._store.list_active(connection, KIND)
        known = {secret.id: self._keys.get(secret.id) for secret in found}
        self._keys = {
            secret.id: ((known[secret.id] or (ECKey.import_key(secret.value), None))[0], secret.expires_at)
            for secret in found
        }
        # A new key signs only when every process has had the time to learn it; a first key at once.
        ripe = [secret for secret in found if secret.created_at < datetime.now(UTC) - _RIPE]
        self._newest = (ripe or found[-1:])[0].id if found else ""

    @property
    def is_ready(self) -> bool:
        """True when there is a key to sign with."""
        return bool(self._newest)

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with these claims, by the newest key."""
        key, _ = self._keys[self._newest]
        header = {"alg": "ES256", "typ": "JWT", "kid": self._newest}
        return jws.serialize_compact(header, json.dumps(claims, separators=(",", ":")), key, algorithms=_ALGORITHMS)

    def verify(self, token: str, now: datetime) -> dict[str, Any]:
        """The claims of a token whose signature and times hold. Errors: TokenInvalidError.

        Issuer, audience and what the claims mean are the caller's to check.
        """
        kid = _kid(token)
        known = self._keys.get(kid or "")
        if known is None or (known[1] is not None and known[1] < now):
            raise TokenInvalidError
        try:
            checked = jws.deserialize_compact(token, known[0], algorithms=_ALGORITHMS)
            claims = json.loads(checked.payload)
        except (JoseError, ValueError) as error:
            raise TokenInvalidError from error
        if not isinstance(claims, dict) or not _in_time(claims, now.timestamp()):
            raise TokenInvalidError
        return claims


async def make_signing_key(database: Database, store: SecretStore, now: datetime, *, overlap: timedelta) -> str:
    """The kid of a new key, which signs as soon as all processes know it; the older ones check for `overlap` more."""
    key = ECKey.generate_key("P-256", auto_kid=False)
    kid = key.thumbprint()
    async with database.write() as unit:
        await store.add(unit, Secret(KIND, kid, key.as_pem(private=True), key.as_pem(private=False).decode(), now))
        await store.expire(unit, KIND, keep=kid, at=now + overlap)
    return kid


def _kid(token: str) -> str | None:
    """The key a token names; None when its header is not one that we write."""
    if len(token) > _TOKEN_LIMIT or not token.isascii():
        return None
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, UnicodeDecodeError):
        return None
    kid = header.get("kid")
    if header.get("alg") != "ES256" or _FORBIDDEN & header.keys() or not isinstance(kid, str):
        return None
    return kid


def _in_time(claims: dict[str, Any], now: float) -> bool:
    times = [claims.get(name) for name in ("exp", "nbf", "iat")]
    numbers = [value for value in times if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != len(times):
        return False
    expires, begins, issued = numbers
    return begins <= now + _LEEWAY_SECONDS and issued <= now + _LEEWAY_SECONDS and now < expires
