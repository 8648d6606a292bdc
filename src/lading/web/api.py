"""The REST doors, `/api/v0` and `/enzi/v0`: one FastAPI application, and what stands before its routing.

FastAPI reads and parses bodies before it asks who is there; so the caller, the body's limit and its type are looked at
first, by `ApiDoor`. Names with slashes are one path segment with `%2F`: paths are taken apart raw.
"""

import base64
import binascii
from collections.abc import AsyncGenerator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol
from urllib.parse import unquote

import structlog
from fastapi import APIRouter, Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.requests import Request as HttpRequest
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from lading.access import ANONYMOUS, Principal
from lading.core.errors import DeniedError, InvalidError, LadingError, UnauthenticatedError
from lading.web import description
from lading.web.cookies import CSRF_HEADER, SESSION_COOKIE, find_cookie
from lading.web.errors import INTERNAL, error_answer, refusal
from lading.web.exchange import Answer, ClientCertificate, Headers, Request
from lading.web.principal import BrowserSession, OnRefused

log = structlog.get_logger()

BODY_LIMIT = 1024 * 1024
_HEADERS: Headers = [
    ("cache-control", "no-store"),
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
]
_FORBIDDEN = 403
_NOT_FOUND = 404
_NUL = "NUL characters can't be kept: PostgreSQL has none in its texts"
_WORDS = {_NOT_FOUND: "NOT_FOUND", 405: "NOT_ALLOWED", 406: "NOT_ACCEPTABLE"}


class Credentials(Protocol):
    """Turns what a REST client sends into a caller. Filled by accounts."""

    async def sign_in(self, name: str, secret: str, *, address: str, user_agent: str = "") -> Principal:
        """As `Authenticator.sign_in`."""
        ...

    async def sign_in_by_token(self, secret: str, *, address: str) -> Principal:
        """The account whose access token, or whose session's secret, it is. Errors: UnauthenticatedError, TooManyError."""
        ...

    async def sign_in_by_session(self, secret: str) -> BrowserSession | None:
        """Whom the session's cookie proves; None when the session is over."""
        ...

    async def sign_in_by_certificate(self, certificate: ClientCertificate) -> Principal | None:
        """Whom the client certificate proves; None while certificates are switched off. Errors: UnauthenticatedError."""
        ...


def caller(request: HttpRequest) -> Principal:
    """Who asks, anonymous callers included."""
    principal: Principal = request.state.principal
    return principal


def signed_in(request: HttpRequest) -> Principal:
    """Who asks. Errors: UnauthenticatedError for anonymous callers."""
    principal = caller(request)
    if principal.is_anonymous:
        raise UnauthenticatedError("sign in first, with a password or an access token")
    return principal


Caller = Annotated[Principal, Depends(caller)]
SignedIn = Annotated[Principal, Depends(signed_in)]


class ApiDoor:
    """The door of `/api/v0` and `/enzi/v0`. `everyone` is who those without credentials are."""

    def __init__(
        self,
        app: FastAPI,
        credentials: Credentials,
        *,
        everyone: Principal = ANONYMOUS,
        refused: OnRefused | None = None,
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._everyone = everyone
        self._refused = refused

    async def __call__(self, request: Request) -> Answer:
        try:
            answer = await self._answer(request)
        except LadingError as error:
            answer = refusal(error, request.request_id)
        except Exception:
            log.exception("unexpected failure", path=request.path.decode("latin-1"), request_id=request.request_id)
            answer = error_answer(*INTERNAL, request.request_id)
        answer.headers = [*answer.headers, *_HEADERS, ("x-request-id", request.request_id)]
        return answer.without_body() if request.method == "HEAD" else answer

    async def _answer(self, request: Request) -> Answer:
        path = _routed_path(request.path)
        if b"%00" in request.query_string:
            raise InvalidError(_NUL)
        asking = await self._asking(request)
        principal = asking.principal
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            return await _asked(self._app, request, path, asking, b"")
        if principal.is_anonymous:
            raise UnauthenticatedError("sign in first, with a password or an access token")
        body = await request.body(BODY_LIMIT)
        kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
        if body and kind != "application/json":
            # Browsers send no JSON to strangers unasked, so this also keeps forged forms out.
            return error_answer(415, "UNSUPPORTED_MEDIA_TYPE", "send application/json", request.request_id)
        if b"\\u0000" in body:
            raise InvalidError(_NUL)
        answer = await _asked(self._app, request, path, asking, body)
        if answer.status == _FORBIDDEN and self._refused is not None:
            self._refused(principal, request.method, path)
        return answer

    async def _asking(self, request: Request) -> "_Asking":
        header, address = request.header("authorization"), request.client
        refresh = request.value("refresh_token")  # Source: DTR reference 1.1, what some of its clients do
        if header is None:
            if refresh is not None:
                return _Asking(await self._credentials.sign_in_by_token(refresh, address=address), "BearerToken")
            return await self._by_session(request) or await self._by_certificate(request) or _Asking(self._everyone)
        kind, _, value = header.partition(" ")
        match kind.lower():
            case "basic":
                name, secret = _basic(value)
                agent = request.header("user-agent") or ""
                principal = await self._credentials.sign_in(name, secret, address=address, user_agent=agent)
                return _Asking(principal, "BasicAuth")
            case "bearer":
                principal = await self._credentials.sign_in_by_token(value.strip(), address=address)
                return _Asking(principal, "BearerToken")
            case _:
                raise UnauthenticatedError("sign in by Basic (password or access token) or Bearer (access token)")

    async def _by_session(self, request: Request) -> "_Asking | None":
        """Who came with a session's cookie, and, to change something, with its CSRF token."""
        secret = find_cookie(request, SESSION_COOKIE)
        session = None if secret is None else await self._credentials.sign_in_by_session(secret)
        if session is None:
            return None
        if request.is_from_another_site:
            raise DeniedError("the request was sent by another site's page: open it from this registry's own")
        if request.method not in {"GET", "HEAD", "OPTIONS"} and not session.proves_intent(request.header(CSRF_HEADER)):
            # The browser sends the cookie whoever wrote the page, so that alone proves no intent.
            raise DeniedError("the header X-Csrf-Token must be what the cookie csrftoken holds")
        return _Asking(session.principal, "SessionToken", session.renewed)

    async def _by_certificate(self, request: Request) -> "_Asking | None":
        """Who came with a client certificate and no other credentials."""
        certificate = request.client_certificate
        if certificate is None:
            return None
        principal = await self._credentials.sign_in_by_certificate(certificate)
        if principal is not None and request.is_from_another_site:
            # The browser shows the certificate whoever wrote the page, so that alone proves no intent.
            raise DeniedError("the request was sent by another site's page: sign in with a password or an access token")
        return None if principal is None else _Asking(principal, "TLSClientCertificate")


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks, and how he proves it, as DTR's /basic_info words it; `headers` go with the answer."""

    principal: Principal
    method: str = "Anonymous"
    headers: Headers = field(default_factory=list)


def send_growing(request: HttpRequest, growing: AsyncGenerator[bytes, None], media_type: str) -> Response:
    """A response whose body is sent as it grows; give it back from the endpoint."""
    request.state.growing = growing
    return Response(media_type=media_type)


async def _asked(app: FastAPI, request: Request, path: str, asking: _Asking, body: bytes) -> Answer:
    """What FastAPI answers; small, so collected whole."""
    answer = Answer(500)
    parts: list[bytes] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in message["headers"]]
        elif message["type"] == "http.response.body":
            parts.append(bytes(message.get("body", b"")))

    scope = _asgi_scope(request, path, asking)
    await app(scope, receive, send)
    answer.headers = [*answer.headers, *asking.headers]
    answer.growing = scope["state"].get("growing")
    if answer.growing is not None:
        answer.headers = [item for item in answer.headers if item[0] != "content-length"]
    answer.body = b"".join(parts)
    return answer


def _asgi_scope(request: Request, path: str, asking: _Asking) -> dict[str, Any]:
    passed_on = ("host", "content-type", "accept", "user-agent")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET" if request.method == "HEAD" else request.method,
        "scheme": "https",
        "path": path,
        "raw_path": request.path,
        "query_string": request.query_string,
        "root_path": "",
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1")) for name in passed_on for value in request.headers(name)
        ],
        "client": (request.client, 0),
        "server": None,
        "state": {
            "principal": asking.principal,
            "authn_method": asking.method,
            "request_id": request.request_id,
            "method": request.method,
        },
    }


def _basic(encoded: str) -> tuple[str, str]:
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise UnauthenticatedError("the Authorization header is not Basic's: NAME:SECRET in base64") from error
    if not colon:
        raise UnauthenticatedError("the Authorization header is not Basic's: NAME:SECRET in base64")
    return name, secret


def _routed_path(raw: bytes) -> str:
    """The path with each segment decoded by itself; a slash inside one stays `%2F`. Errors: InvalidError."""
    segments = []
    for part in raw.decode("latin-1").split("/"):
        try:
            segment = unquote(part, errors="strict")
        except UnicodeDecodeError as error:
            raise InvalidError("the path is not UTF-8") from error
        if segment in {".", ".."} or "%" in segment or not segment.isprintable():
            raise InvalidError("the path holds '.', '..', '%' or a control character")
        segments.append(segment.replace("/", "%2F"))
    path = "/".join(segments)
    # As UCP had the same resources. Source: DTR reference 1.1.
    return f"/enzi/v0{path}" if segments[1:2] in (["accounts"], ["id"]) else path


def make_api(
    routers: Sequence[APIRouter],
    credentials: Credentials,
    *,
    version: str,
    everyone: Principal = ANONYMOUS,
    refused: OnRefused | None = None,
) -> ApiDoor:
    """The REST doors that `routers` make up; their paths begin with `/api/v0` or `/enzi/v0`.

    `refused` is told of whoever tried to change what he may not.
    """
    app = _Api(
        title="Lading",
        version=version,
        openapi_url="/api/v0/openapi.json",
        docs_url=None,  # its pages come from a server elsewhere, which an installation without internet can't reach
        redoc_url=None,
        redirect_slashes=False,
    )
    app.public = _public(routers)
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(LadingError, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _not_routed)
    app.add_exception_handler(Exception, _failed)
    return ApiDoor(app, credentials, everyone=everyone, refused=refused)


class _Api(FastAPI):
    public: frozenset[tuple[str, str]] = frozenset()

    def openapi(self) -> dict[str, Any]:
        """The description of the API, refusals and ways to sign in included."""
        if not self.openapi_schema:
            document = get_openapi(
                title=self.title, version=self.version, description=description.TEXT, routes=self.routes
            )
            self.openapi_schema = description.complete(document, self.public)
        return self.openapi_schema


def _public(routers: Sequence[APIRouter]) -> frozenset[tuple[str, str]]:
    """The methods and paths that those may ask who are not signed in."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return frozenset(
        (method, route.path)
        for route in routes
        if not _wants_sign_in(route.dependant)
        for method in route.methods or ()
    )


def _wants_sign_in(needed: Dependant) -> bool:
    return needed.call is signed_in or any(_wants_sign_in(item) for item in needed.dependencies)


async def _refused(request: HttpRequest, error: Exception) -> Response:
    if not isinstance(error, LadingError):
        raise error
    return _response(refusal(error, request.state.request_id))


async def _not_understood(request: HttpRequest, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return _response(error_answer(400, "INVALID_JSON", "the body is not JSON", request.state.request_id))
    # What was sent is not repeated: it may be a password.
    detail = [{"field": ".".join(map(str, item["loc"])), "message": item["msg"]} for item in problems[:20]]
    first = detail[0] if detail else {"field": "", "message": "not understood"}
    message = f"{first['field']}: {first['message']}"
    return _response(error_answer(400, "INVALID_PARAMETERS", message, request.state.request_id, detail=detail))


async def _not_routed(request: HttpRequest, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    message = "there is nothing here" if error.status_code == _NOT_FOUND else str(error.detail)
    code = _WORDS.get(error.status_code, "INVALID_PARAMETERS")
    headers = [(key.lower(), value) for key, value in (error.headers or {}).items()]
    return _response(error_answer(error.status_code, code, message, request.state.request_id, headers=headers))


async def _failed(request: HttpRequest, error: Exception) -> Response:  # noqa: ARG001 — FastAPI's signature; the door logs it
    return _response(error_answer(*INTERNAL, request.state.request_id))


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
