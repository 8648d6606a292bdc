"""The doors of sessions: `/login`, `/logout`, `/auth/login`, `/id/logout`, and the same below `/enzi/v0`.

A browser signs in with a form, and gets cookies; a program with JSON, and gets a secret for `Authorization: Bearer`.
Source: DTR reference 1.1 and 1.6.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from lading.accounts.accounts import Account
from lading.accounts.errors import SessionOverError
from lading.accounts.forms import account_json
from lading.accounts.sessions import PASSWORD, Sessions, Use, no_cookies
from lading.accounts.sign_in import SignIn
from lading.core.errors import DeniedError, InvalidError, Kind, LadingError, UnsupportedError
from lading.web.cookies import CSRF_HEADER, SESSION_COOKIE, find_cookie
from lading.web.errors import refusal
from lading.web.exchange import Answer, Headers, Request, parse_query
from lading.web.local_path import HOME, local_path

_FORM_LIMIT = 64 * 1024
_HEADERS: Headers = [
    ("cache-control", "no-store"),
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
]
_JSON: Headers = [("content-type", "application/json")]
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Provider:
    """A place elsewhere where one may sign in: what a page shows, and where its button leads."""

    name: str
    title: str

    @property
    def path(self) -> str:
        return f"/oidc/{self.name}/login"


@dataclass(frozen=True)
class SessionDoor:
    """The door of sessions. `providers` are those that one may sign in by, too."""

    sign_in: SignIn
    sessions: Sessions
    providers: Callable[[], Awaitable[Sequence[Provider]]]

    async def __call__(self, request: Request) -> Answer:
        try:
            answer = await self._answer(request)
        except LadingError as error:
            answer = refusal(error, request.request_id)
            if error.kind is Kind.UNAUTHENTICATED:
                # A challenge would have browsers ask for a password in a window of their own.
                answer.headers = [item for item in answer.headers if item[0] != "www-authenticate"]
        answer.headers = [*answer.headers, *_HEADERS, ("x-request-id", request.request_id)]
        return answer.without_body() if request.method == "HEAD" else answer

    async def _answer(self, request: Request) -> Answer:
        path = request.path.removeprefix(b"/enzi/v0")
        match request.method, path:
            case (("GET" | "HEAD"), b"/login"):
                return await self._ways()
            case "POST", b"/login":
                return await self._login(request)
            case (("GET" | "HEAD"), b"/logout"):
                return await self._logout_by_link(request)
            case "POST", (b"/logout" | b"/id/logout"):
                return await self._logout(request)
            case "POST", b"/auth/login":
                return await self._auth_login(request)
        raise UnsupportedError("sign in with POST /login or POST /auth/login, and out with POST /logout")

    async def _ways(self) -> Answer:
        ways = [{"name": one.name, "title": one.title, "url": one.path} for one in await self.providers()]
        return _json({"password": True, "providers": ways})

    async def _login(self, request: Request) -> Answer:
        if request.is_from_another_site:
            # Else a stranger's page could sign a browser in as somebody whom the stranger knows.
            raise DeniedError("the form was sent by another site's page")
        form = await _read(request, may_be_form=True)
        account = await self._password(form, request)
        known = await self._session_of(request)
        if known is not None:
            await self.sessions.end(known)
        secret, session = await self.sessions.begin(account, method=PASSWORD)
        cookies = self.sessions.cookies(secret, session)
        wanted = form.get("next", request.value("next"))
        if wanted is not None or "text/html" in (request.header("accept") or ""):
            return _to(local_path(wanted), cookies)
        return _json({"user": account_json(account), "csrfToken": session.csrf}, cookies)

    async def _auth_login(self, request: Request) -> Answer:
        account = await self._password(await _read(request, may_be_form=False), request)
        secret, _ = await self.sessions.begin(account, method=PASSWORD)
        return _json({"auth_token": secret})

    async def _password(self, form: Mapping[str, str], request: Request) -> Account:
        name, secret = form.get("username", ""), form.get("password", "")
        proof = await self.sign_in.by_secret(name, secret, address=request.client)
        if proof.token is not None:
            # The session would go on when the token is revoked, and may more than a narrowed one.
            raise DeniedError("sign in with the password: an access token is used as it is, and begins no session")
        return proof.account

    async def _session_of(self, request: Request) -> Use | None:
        secret = find_cookie(request, SESSION_COOKIE)
        return None if secret is None else await self.sessions.find(secret)

    async def _logout_by_link(self, request: Request) -> Answer:
        known = await self._session_of(request)
        # HEAD is what programs look with; a page elsewhere that shows the link as a picture gets nothing done either.
        if known is not None and request.method == "GET" and not request.is_from_another_site:
            await self.sessions.end(known)
        return _to(HOME, no_cookies())

    async def _logout(self, request: Request) -> Answer:
        kind, _, secret = (request.header("authorization") or "").partition(" ")
        if kind.lower() == "bearer":
            known = await self.sessions.find(secret.strip())
            if known is None:
                raise SessionOverError
        else:
            known = await self._session_of(request)
            if known is not None and not known.proves_intent(request.header(CSRF_HEADER)):
                raise DeniedError("the header X-Csrf-Token must be what the cookie csrftoken holds")
        if known is not None:
            await self.sessions.end(known)
        return Answer(204, no_cookies())


async def _read(request: Request, *, may_be_form: bool) -> Mapping[str, str]:
    """The texts that were sent. Errors: InvalidError."""
    body = await request.body(_FORM_LIMIT)
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if may_be_form and kind == _FORM:
        return {name: values[0] for name, values in parse_query(body).items()}
    if kind != "application/json":
        raise InvalidError("send application/json" + (f" or {_FORM}" if may_be_form else ""))
    try:
        form = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError("the body is not a JSON object") from error
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    if any("\0" in value for value in texts.values()):
        raise InvalidError("the body holds a NUL character")
    return texts


def _json(document: object, headers: Headers | None = None) -> Answer:
    return Answer(200, [*_JSON, *(headers or [])], msgspec.json.encode(document))


def _to(path: str, headers: Headers) -> Answer:
    return Answer(303, [("location", path), *headers])
