"""The doors of sign-in by OpenID providers: `/oidc/{provider}/login` and `/oidc/{provider}/callback`.

What goes wrong is told in plain text, since only people with browsers come here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lading.accounts.directories.oidc import OidcRefusedError
from lading.accounts.oidc_sign_in import AWAY, Answered, OidcSignIn
from lading.accounts.sessions import Sessions
from lading.accounts.sign_in_log import SignInLog
from lading.core.errors import LadingError, UnknownError, UnsupportedError
from lading.web.cookies import SESSION_COOKIE, drop_cookies, find_cookie, set_cookie
from lading.web.errors import TABLE
from lading.web.exchange import Answer, Headers, Request
from lading.web.local_path import local_path

PENDING_COOKIE = "__Host-lading_oidc"
_METHOD = "oidc"
_PARTS = 4  # of /oidc/NAME/login
_HEADERS: Headers = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
]


@dataclass(frozen=True)
class OidcDoor:
    """The door. `base_of` is where we are reached, scheme and host, for a request's origin; never a host that is not ours."""

    sign_in: OidcSignIn
    sessions: Sessions
    log: SignInLog
    base_of: Callable[[str], str]

    async def __call__(self, request: Request) -> Answer:
        try:
            answer = await self._answer(request)
        except LadingError as error:
            text = f"{error.message}\n\nrequest {request.request_id}\n"
            kind = ("content-type", "text/plain; charset=utf-8")
            answer = Answer(TABLE[error.kind][0], [kind, *drop_cookies(PENDING_COOKIE)], text.encode())
        answer.headers = [*answer.headers, *_HEADERS, ("x-request-id", request.request_id)]
        return answer.without_body() if request.method == "HEAD" else answer

    async def _answer(self, request: Request) -> Answer:
        parts = request.path.decode("latin-1").split("/")
        if request.method not in {"GET", "HEAD"}:
            raise UnsupportedError("browsers come here with GET")
        if len(parts) == _PARTS and parts[3] == "login":
            return await self._login(parts[2], request)
        if len(parts) == _PARTS and parts[3] == "callback" and request.method == "GET":
            return await self._callback(parts[2], request)
        raise UnknownError("there is nothing here")

    async def _login(self, name: str, request: Request) -> Answer:
        redirect_uri = f"{self.base_of(request.origin)}/oidc/{name}/callback"
        then = local_path(request.value("next"))
        address, kept = await self.sign_in.begin(name, redirect_uri=redirect_uri, then=then)
        return Answer(303, [("location", address), set_cookie(PENDING_COOKIE, kept, max_age=AWAY)])

    async def _callback(self, name: str, request: Request) -> Answer:
        answered = Answered(
            request.value("state") or "", request.value("code") or "", request.value("iss"), request.value("error")
        )
        try:
            account, then = await self.sign_in.finish(name, answered, find_cookie(request, PENDING_COOKIE) or "")
        except OidcRefusedError as error:
            self.log.refused("", method=f"{_METHOD}:{name[:32]}", why=error.message)
            raise
        before = find_cookie(request, SESSION_COOKIE)
        known = None if before is None else await self.sessions.find(before)
        if known is not None:
            await self.sessions.end(known)
        secret, session = await self.sessions.begin(account, method=_METHOD)
        cookies = self.sessions.cookies(secret, session)
        return Answer(303, [("location", local_path(then)), *drop_cookies(PENDING_COOKIE), *cookies])
