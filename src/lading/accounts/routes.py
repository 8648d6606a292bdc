"""The token service's door: `/auth/token`, GET and POST.

Sources: Docker registry token authentication specification, and its OAuth2 variant.
"""

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import msgspec

from lading.accounts.access_tokens import AccessTokens
from lading.accounts.accounts import Proof
from lading.accounts.certificate_sign_in import CertificateSignIn
from lading.accounts.errors import WrongCredentialsError
from lading.accounts.scopes import parse_scopes
from lading.accounts.sign_in import SignIn
from lading.accounts.token_service import TokenService
from lading.core.clock import rfc3339
from lading.core.errors import InvalidError, Kind, LadingError
from lading.events.log import Actor
from lading.web.exchange import Answer, Headers, Request, parse_query

_FORM_LIMIT = 64 * 1024
_STATUSES: Mapping[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.DENIED: 403,
    Kind.UNKNOWN: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.TOO_MANY: 429,
    Kind.UNSUPPORTED: 405,
    Kind.UNAVAILABLE: 503,
}
_HEADERS: Headers = [
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
]


class MethodNotAllowedError(LadingError):
    """Tokens are fetched by GET or POST."""

    kind = Kind.UNSUPPORTED
    code = "UNSUPPORTED"

    def __init__(self) -> None:
        super().__init__("tokens are fetched by GET or POST")


@dataclass(frozen=True)
class TokenDoor:
    """The door of `/auth/token`. `hosts` are the names (with and without port) that this server goes by."""

    sign_in: SignIn
    certificates: CertificateSignIn
    access_tokens: AccessTokens
    service: TokenService
    hosts: Collection[str]
    anonymous_access: Callable[[], bool]

    async def __call__(self, request: Request) -> Answer:
        try:
            if request.method in {"GET", "HEAD"}:
                answer = await self._get(request)
            elif request.method == "POST":
                answer = await self._post(request)
            else:
                raise MethodNotAllowedError
        except LadingError as error:
            answer = self._refusal(error, request)
        return answer.without_body() if request.method == "HEAD" else answer

    async def _get(self, request: Request) -> Answer:
        self._check_service(request.value("service"))
        credentials = _basic(request.header("authorization"))
        proof = None
        if credentials is not None:
            proof = await self.sign_in.by_secret(*credentials, address=request.client)
        elif (certificate := request.client_certificate) is not None:
            proof = await self.certificates.find(certificate)
        scopes = request.query.get("scope", [])
        offline = (request.value("offline_token") or "").lower() == "true"
        # What a certificate is good for ends with its key; a token in its place would go on.
        is_lasting = offline and proof is not None and not proof.is_certificate
        refresh = await self._refresh_token(proof, request) if is_lasting and proof is not None else None
        return await self._answer(proof, scopes, refresh)

    async def _post(self, request: Request) -> Answer:
        form = parse_query(await request.body(_FORM_LIMIT))
        values = {name: items[0] for name, items in form.items() if items}
        self._check_service(values.get("service"))
        refresh = None
        match values.get("grant_type"):
            case "password":
                name, secret = values.get("username", ""), values.get("password", "")
                proof = await self.sign_in.by_secret(name, secret, address=request.client)
                if values.get("access_type") == "offline":
                    refresh = await self._refresh_token(proof, request)
            case "refresh_token":
                refresh = values.get("refresh_token", "")
                proof = await self.sign_in.by_token(refresh, address=request.client)
            case _:
                raise InvalidError("grant_type must be password or refresh_token")
        return await self._answer(proof, form.get("scope", []), refresh)

    def _check_service(self, asked: str | None) -> None:
        if asked and asked != self.service.service:
            raise InvalidError(f"this is the token service of {self.service.service!r}, not of {asked[:200]!r}")

    async def _refresh_token(self, proof: Proof, request: Request) -> str:
        # May no more, and lives no longer, than what it was asked for with.
        known = proof.token
        _, secret = await self.access_tokens.create(
            proof.account.id,
            "docker login",
            by=Actor.account(proof.account.id),
            creator_ua=request.header("user-agent") or "",
            generated_by="auto",
            expires_at=known.expires_at if known is not None else None,
            narrowing=known.narrowing if known is not None else None,
        )
        return secret

    async def _answer(self, proof: Proof | None, scopes: list[str], refresh: str | None) -> Answer:
        parsed = parse_scopes(scopes, self.hosts)
        issued = await self.service.issue(proof, parsed, anonymous_access=self.anonymous_access())
        body = {
            "token": issued.token,
            "access_token": issued.token,
            "expires_in": int(issued.lifetime.total_seconds()),
            "issued_at": rfc3339(issued.issued_at),
        }
        if refresh:
            body["refresh_token"] = refresh
        return Answer(200, _HEADERS, msgspec.json.encode(body))

    def _refusal(self, error: LadingError, request: Request) -> Answer:
        headers = [*_HEADERS, *error.headers.items()]
        if error.kind is Kind.UNAUTHENTICATED:
            headers.append(("www-authenticate", 'Basic realm="Lading"'))
        item = {"code": error.code, "message": error.message}
        body = msgspec.json.encode({"errors": [item], "requestId": request.request_id})
        return Answer(_STATUSES[error.kind], headers, body)


def _basic(header: str | None) -> tuple[str, str] | None:
    """Name and secret of a Basic header; None when there is none. Errors: WrongCredentialsError for a broken one."""
    if header is None:
        return None
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        raise WrongCredentialsError
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise WrongCredentialsError from error
    if not colon:
        raise WrongCredentialsError
    if not name and not secret:
        return None  # how some clients say that they have no credentials
    return name, secret
