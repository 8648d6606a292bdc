"""Credentials become callers: the accounts room's answer to `web.principal.Authenticator`."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from cachetools import LRUCache

from lading.access import ANONYMOUS, Permission, Principal, System, decide
from lading.accounts import store
from lading.accounts.accounts import Proof
from lading.accounts.certificate_sign_in import CertificateSignIn
from lading.accounts.errors import SessionOverError, WrongCredentialsError
from lading.accounts.scopes import ACTIONS
from lading.accounts.sessions import Sessions
from lading.accounts.sign_in import SignIn
from lading.accounts.token_secrets import is_session_secret
from lading.core.clock import Clock
from lading.database import Database
from lading.keys.token_signing import TokenInvalidError, TokenSigner
from lading.web.exchange import ClientCertificate
from lading.web.principal import BrowserSession, RegistryToken

_REMEMBERED = 10_000


class _Everything(Mapping[str, frozenset[str]]):
    """All actions on every repository."""

    def __getitem__(self, name: str) -> frozenset[str]:
        return _ALL_ACTIONS

    def __iter__(self) -> Iterator[str]:
        raise TypeError("every name is in it")

    def __len__(self) -> int:
        raise TypeError("every name is in it")


_ALL_ACTIONS = frozenset(ACTIONS)
_EVERYTHING = _Everything()


class AccountAuthenticator:
    """Checks passwords, access tokens and bearer tokens. What it remembers is that a signature was good, never a right."""

    def __init__(
        self,
        database: Database,
        sign_in: SignIn,
        certificates: CertificateSignIn,
        signer: TokenSigner,
        clock: Clock,
        *,
        sessions: Sessions,
        service: str,
    ) -> None:
        self._database = database
        self._sign_in = sign_in
        self._certificates = certificates
        self._signer = signer
        self._clock = clock
        self._sessions = sessions
        self._service = service
        self._read: LRUCache[str, tuple[RegistryToken, datetime]] = LRUCache(_REMEMBERED)

    async def sign_in(self, name: str, secret: str, *, address: str, user_agent: str = "") -> Principal:  # noqa: ARG002 — the contract's
        return (await self._sign_in.by_secret(name, secret, address=address)).principal

    async def sign_in_by_token(self, secret: str, *, address: str) -> Principal:
        """The account whose access token, or whose session's secret, it is. Errors: UnauthenticatedError, TooManyError."""
        if is_session_secret(secret):
            use = await self._sessions.use(secret)
            if use is None:
                raise SessionOverError
            return use.account.principal
        return (await self._sign_in.by_token(secret, address=address)).principal

    async def sign_in_by_session(self, secret: str) -> BrowserSession | None:
        use = await self._sessions.use(secret)
        if use is None:
            return None
        renewed = self._sessions.cookies(secret, use.session) if use.is_extended else []
        return BrowserSession(use.account.principal, use.proves_intent, renewed)

    async def sign_in_by_certificate(self, certificate: ClientCertificate) -> Principal | None:
        proof = await self._by_certificate(certificate)
        return None if proof is None else proof.principal

    async def token_of_certificate(self, certificate: ClientCertificate) -> RegistryToken | None:
        proof = await self._by_certificate(certificate)
        if proof is None:
            return None
        account = proof.account
        catalog = bool(decide(account.principal, Permission.LIST_CATALOG, System()))
        return RegistryToken(account.id, account.name, account.epoch, _EVERYTHING, catalog)

    async def _by_certificate(self, certificate: ClientCertificate) -> Proof | None:
        proof = await self._certificates.find(certificate)
        return proof if proof is not None and await self._sign_in.is_in(proof.account) else None

    def read_token(self, token: str) -> RegistryToken:
        now = self._clock.now()
        known = self._read.get(token)
        if known is None:
            claims = self._signer.verify(token, now)
            known = self._token_of(claims), datetime.fromtimestamp(claims["exp"], now.tzinfo)
            self._read[token] = known
        if known[1] <= now:
            raise TokenInvalidError
        return known[0]

    def _token_of(self, claims: dict[str, Any]) -> RegistryToken:
        if claims.get("aud") != self._service or claims.get("iss") != self._service:
            raise TokenInvalidError
        access = {item["name"]: frozenset(item["actions"]) for item in claims["access"] if item["type"] == "repository"}
        catalog = any(item["type"] == "registry" for item in claims["access"])
        return RegistryToken(claims["account"], claims["sub"], claims["epoch"], access, catalog, claims.get("via"))

    async def principal_of(self, account_id: str | None, epoch: int) -> Principal:
        if account_id is None:
            return ANONYMOUS
        row = await self._database.points.first(store.ACCOUNT_BY_ID, id=account_id)
        account = None if row is None else store.account_of(row)
        if account is None or not account.is_active or account.epoch != epoch:
            raise WrongCredentialsError
        return account.principal
