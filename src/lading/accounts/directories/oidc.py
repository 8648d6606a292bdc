"""OpenID Connect: the authorization code flow with PKCE, and the check of what comes back.

Rules:
1. The metadata's issuer is the configured one, to the letter. Source: OpenID Connect Discovery 1.0, 4.3.
2. State, nonce and the code verifier are random, and stay with the browser that began. Source: RFC 7636; RFC 9700, 2.1.
3. The answer names the same issuer, where the provider says that it names it. Source: RFC 9207 (mix-up).
4. The ID token is signed by a key of the issuer's set, by an asymmetric algorithm; a key that its header brings is nothing.
   An unknown key has the set read again, once in a while. Source: OpenID Connect Core 1.0, 3.1.3.7; RFC 8725.
5. Issuer, audience, authorized party, times and nonce are as they must be.
6. Claims that the ID token lacks come from userinfo, which must tell of the same subject. Source: Core 5.3.2.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key

from lading.accounts.directories import DirectoryUnavailableError
from lading.accounts.directories.oidc_settings import OidcSettings
from lading.core.errors import UnauthenticatedError, UnavailableError

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
_USUAL = ["RS256"]  # what a provider signs with that says nothing. Source: Discovery 1.0, 3
_DOCUMENT_BYTES = 1024 * 1024
_TOKEN_CHARACTERS = 128 * 1024
_KEYS = 100
_METADATA_SECONDS, _KEYS_SECONDS, _AGAIN_SECONDS = 600.0, 3600.0, 10.0
_LEEWAY_SECONDS = 60
_SUBJECT = 255
_OK = 200
_WANTED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")


class OidcRefusedError(UnauthenticatedError):
    """What came back signs nobody in. `why` is safe to show."""

    def __init__(self, why: str) -> None:
        super().__init__(f"you could not be signed in: {why}")


class OidcUnavailableError(DirectoryUnavailableError):
    """The provider can't be asked, or not so; nobody comes in by it meanwhile. `why` is safe to show."""

    def __init__(self, why: str) -> None:
        UnavailableError.__init__(self, f"the sign-in provider does not answer as it should: {why}")


@dataclass(frozen=True, slots=True)
class Started:
    """What the browser keeps while it is away, sealed, and what the answer is held against."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str

    @classmethod
    def make(cls, redirect_uri: str) -> "Started":
        """A new beginning."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(64), redirect_uri)

    @property
    def challenge(self) -> str:
        """The verifier's S256 challenge. Source: RFC 7636, 4.2."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class OidcUser:
    """Who signed in there. `groups` is None when groups are left alone; `username` is the claim as it came."""

    subject: str
    username: str
    full_name: str
    groups: frozenset[str] | None


class OidcProvider:
    """One provider, and what is remembered of it for a while: its metadata and its keys."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._metadata: tuple[Mapping[str, Any], float] | None = None
        self._keys: tuple[Mapping[str | None, Key], float] | None = None

    async def begin(self, started: Started) -> str:
        """The address that the browser is sent to. Errors: OidcUnavailableError."""
        metadata = await self._get_metadata()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": started.redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": started.state,
            "nonce": started.nonce,
            "code_challenge": started.challenge,
            "code_challenge_method": "S256",
        }
        endpoint = str(metadata["authorization_endpoint"])
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    async def finish(self, started: Started, code: str, issuer: str | None, now: datetime) -> OidcUser:
        """Who it is that the code stands for. `issuer` is the answer's `iss`.

        Errors: OidcRefusedError; OidcUnavailableError.
        """
        metadata = await self._get_metadata()
        names_issuer = metadata.get("authorization_response_iss_parameter_supported") is True
        if issuer != self.settings.issuer and (issuer is not None or names_issuer):
            raise OidcRefusedError("the answer comes from another provider than it was asked of")
        tokens = await self._exchange(metadata, started, code)
        claims = await self._verify(metadata, tokens.get("id_token"), started.nonce, now)
        if any(name not in claims for name in self._claims_wanted()):
            claims = {**await self._userinfo(metadata, tokens.get("access_token"), str(claims["sub"])), **claims}
        return self._user(claims)

    # --- what the provider says ---

    async def _get_metadata(self) -> Mapping[str, Any]:
        known = self._metadata
        if known is not None and time.monotonic() - known[1] < _METADATA_SECONDS:
            return known[0]
        document = await self._document(f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self.settings.issuer:
            told = str(document.get("issuer"))[:200]
            raise OidcUnavailableError(f"its issuer is {told!r}, and not {self.settings.issuer!r}, as is set here")
        for name in _WANTED:
            if not _is_https(document.get(name)):
                raise OidcUnavailableError(f"its metadata has no {name} that is an https address")
        self._metadata = document, time.monotonic()
        return document

    async def _get_key(self, metadata: Mapping[str, Any], kid: str | None) -> Key:
        known = self._keys
        age = float("inf") if known is None else time.monotonic() - known[1]
        if known is None or age >= _KEYS_SECONDS or (kid not in known[0] and age >= _AGAIN_SECONDS):
            known = self._keys = _keys_of(await self._document(str(metadata["jwks_uri"]))), time.monotonic()
        keys = known[0]
        if kid is None and len(keys) == 1:
            return next(iter(keys.values()))
        found = keys.get(kid)
        if found is None or kid is None:
            raise OidcRefusedError("the provider's token is signed by a key that it does not publish")
        return found

    async def _exchange(self, metadata: Mapping[str, Any], started: Started, code: str) -> Mapping[str, Any]:
        """The tokens for the code."""
        settings, secret = self.settings, self.settings.client_secret.get_secret_value()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": started.redirect_uri,
            "code_verifier": started.verifier,
        }
        auth: tuple[str, str] | None = None
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if secret and "client_secret_basic" in methods:
            auth = quote(settings.client_id, safe=""), quote(secret, safe="")  # Source: RFC 6749, 2.3.1
        else:
            form |= {"client_id": settings.client_id, **({"client_secret": secret} if secret else {})}
        status, body = await self._ask("POST", str(metadata["token_endpoint"]), form=form, auth=auth)
        answer = _object(body)
        if status != _OK or answer is None:
            error = (answer or {}).get("error")
            if error == "invalid_grant":
                raise OidcRefusedError("the provider does not know this code (any more): begin again")
            # A client that is set up wrong is nothing that the one who signs in can mend.
            told = error if isinstance(error, str) and error.isprintable() else f"status {status}"
            raise OidcUnavailableError(f"it gives no token: {told[:100]}; look at clientID and clientSecret")
        return answer

    async def _verify(self, metadata: Mapping[str, Any], token: object, nonce: str, now: datetime) -> Mapping[str, Any]:
        if not isinstance(token, str) or len(token) > _TOKEN_CHARACTERS:
            raise OidcRefusedError("the provider gave no ID token, or none that can be one")
        allowed = [name for name in metadata.get("id_token_signing_alg_values_supported", _USUAL) if name in ALGORITHMS]
        kid = _kid_of(token)
        return verify_id_token(
            token,
            await self._get_key(metadata, kid),
            allowed or _USUAL,
            issuer=self.settings.issuer,
            client_id=self.settings.client_id,
            nonce=nonce,
            now=now,
        )

    async def _userinfo(self, metadata: Mapping[str, Any], token: object, subject: str) -> Mapping[str, Any]:
        endpoint = metadata.get("userinfo_endpoint")
        if not _is_https(endpoint) or not isinstance(token, str):
            return {}
        status, body = await self._ask("GET", str(endpoint), headers={"Authorization": f"Bearer {token}"})
        answer = _object(body)
        if status != _OK or answer is None:
            raise OidcUnavailableError(f"its userinfo answers with status {status}, or not in JSON")
        if answer.get("sub") != subject:
            raise OidcRefusedError("the provider's userinfo tells of somebody else")
        return answer

    async def _document(self, url: str) -> Mapping[str, Any]:
        status, body = await self._ask("GET", url)
        document = _object(body)
        if status != _OK or document is None:
            raise OidcUnavailableError(f"{url} answers with status {status}, or not in JSON")
        return document

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """No redirect is followed: secrets are for the one address."""
        # Imported when a provider is asked: every process would pay for httpx at its start, and most never need it.
        from lading.web.outgoing import AddressRefusedError, NoAnswerError, fetch, make_client  # noqa: PLC0415 — see above

        settings = self.settings
        accepted = {"Accept": "application/json", **(headers or {})}
        try:
            async with make_client(
                authorities=settings.root_certificates, allowed_hosts=settings.allowed_hosts
            ) as client:
                return await fetch(
                    client, method, url, limit_bytes=_DOCUMENT_BYTES, headers=accepted, form=form, auth=auth
                )
        except (NoAnswerError, AddressRefusedError) as error:
            raise OidcUnavailableError(error.message) from error

    # --- what it means ---

    def _claims_wanted(self) -> Sequence[str]:
        settings = self.settings
        return [name for name in (settings.username_claim, settings.full_name_claim, settings.groups_claim) if name]

    def _user(self, claims: Mapping[str, Any]) -> OidcUser:
        settings = self.settings
        username, full_name = claims.get(settings.username_claim), claims.get(settings.full_name_claim)
        if not isinstance(username, str):
            raise OidcRefusedError(f"the provider does not tell the claim {settings.username_claim!r}")
        groups = self._groups(claims) if settings.groups_claim else None
        return OidcUser(str(claims["sub"]), username, full_name if isinstance(full_name, str) else "", groups)

    def _groups(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """The groups, none without the claim. Errors: OidcRefusedError when the provider keeps them elsewhere."""
        name = self.settings.groups_claim
        told = claims.get(name)
        elsewhere = claims.get("_claim_names")
        if told is None and isinstance(elsewhere, dict) and name in elsewhere:
            # Entra ID does so beyond 200 groups: taken for none, it would throw people out of their teams.
            raise OidcRefusedError(
                "you are in too many groups for the provider to tell them; an administrator can mend it"
            )
        if isinstance(told, str):
            return frozenset([told])
        return frozenset(item for item in told if isinstance(item, str)) if isinstance(told, list) else frozenset()


def verify_id_token(
    token: str, key: Key, algorithms: Sequence[str], *, issuer: str, client_id: str, nonce: str, now: datetime
) -> Mapping[str, Any]:
    """The claims of a token that holds against rules 4 and 5. Errors: OidcRefusedError."""
    registry = jws.JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
    rules = jwt.JWTClaimsRegistry(
        int(now.timestamp()),
        _LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        claims = jwt.decode(token, key, algorithms=list(algorithms), registry=registry).claims
        rules.validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise OidcRefusedError("the provider's token does not hold") from error
    audience, party = claims["aud"], claims.get("azp")
    if (isinstance(audience, list) and len(audience) > 1 and party is None) or (
        party is not None and party != client_id
    ):
        raise OidcRefusedError("the provider's token is another application's")
    subject = claims["sub"]
    if not 0 < len(subject) <= _SUBJECT or not subject.isprintable():
        raise OidcRefusedError("the provider's token names nobody")
    return claims


def _kid_of(token: str) -> str | None:
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError) as error:
        raise OidcRefusedError("the provider's token is none") from error
    kid = header.get("kid")
    return kid if isinstance(kid, str) else None


def _keys_of(document: Mapping[str, Any]) -> Mapping[str | None, Key]:
    """The keys that sign, by their ids; those that can't be read are left out, symmetric ones too."""
    found: dict[str | None, Key] = {}
    listed = document.get("keys")
    for item in listed[:_KEYS] if isinstance(listed, list) else []:
        if not isinstance(item, dict) or item.get("use", "sig") != "sig" or item.get("kty") not in {"RSA", "EC", "OKP"}:
            continue
        try:
            key = import_key({name: value for name, value in item.items() if name != "d"})
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        kid = item.get("kid")
        found[kid if isinstance(kid, str) else None] = key
    return found


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _is_https(value: object) -> bool:
    if not isinstance(value, str) or len(value) > 2048 or not value.isprintable():  # noqa: PLR2004 — as browsers take it
        return False
    try:
        url = urlsplit(value)
    except ValueError:
        return False
    return url.scheme == "https" and bool(url.hostname)
