"""Commands that work through the REST API: on a running server, or, with --data, on a data folder in this process.

Either way it is the same API; only what carries the requests differs.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import typer

from lading.access import Principal
from lading.cli.trusted import places
from lading.core.errors import Kind, LadingError, SettingsError
from lading.core.folders import write_durably
from lading.core.names import RepositoryName
from lading.web.exchange import Door, Request

Url = Annotated[str | None, typer.Option("--url", envvar="LADING_URL", help="The server: https://host:port.")]
Authority = Annotated[Path | None, typer.Option("--ca", help="Its certificate authority, PEM (the server's /ca).")]
Username = Annotated[str | None, typer.Option("--username", "-u", help="Sign in by password, which is asked for.")]
LocalData = Annotated[Path | None, typer.Option("--data", help="Work on this data folder, not on a server.")]

_PAGE = 1000
_TIMEOUT_SECONDS = 60.0
_Result = TypeVar("_Result")
_OPERATOR = Principal("local", "local", is_admin=True)
"""Whoever can read the data folder's keys may do everything anyway."""


class RemoteError(LadingError):
    """What the server said, or that it said nothing. `code` is the server's word for it."""


@dataclass(frozen=True)
class Target:
    """Which installation a command works on, as the command line says."""

    url: str | None = None
    authority: Path | None = None
    username: str | None = None
    data: Path | None = None


class Api:
    """The REST API, asked for JSON."""

    def __init__(self, client: httpx.AsyncClient, username: str = "") -> None:
        self._client = client
        self.username = username  # whose credentials these are, when it is known

    @property
    def host(self) -> str:
        """The server's HOST:PORT, as clients of the registry name it."""
        return self._client.base_url.netloc.decode()

    async def ask(self, method: str, path: str, body: object = None, **query: str | int) -> Any:
        """The answer's JSON, None when it has none. Errors: RemoteError."""
        return (await self._ask(method, path, body, query))[0]

    async def fetch(self, path: str, **query: str | int) -> bytes:
        """The answer's bytes, whatever they are. Errors: RemoteError."""
        return (await self._answer("GET", path, None, query)).content

    async def iter_pages(
        self, path: str, key: str | None = None, *, page_size: int = _PAGE, **query: str | int
    ) -> AsyncIterator[Any]:
        """Every entry of a list, page by page; `key` is where the reply keeps it."""
        start = ""
        while True:
            document, headers = await self._ask("GET", path, None, {**query, "pageSize": page_size, "pageStart": start})
            for item in document if key is None else document[key]:
                yield item
            start = headers.get("X-Next-Page-Start", "")
            if not start:
                return

    async def _ask(
        self, method: str, path: str, body: object, query: Mapping[str, str | int]
    ) -> tuple[Any, httpx.Headers]:
        answer = await self._answer(method, path, body, query)
        return (answer.json() if answer.content else None), answer.headers

    async def _answer(self, method: str, path: str, body: object, query: Mapping[str, str | int]) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, json=body, params=query or None)
        except httpx.ConnectError as error:
            raise RemoteError(_why_no_connection(str(self._client.base_url), error)) from error
        except httpx.HTTPError as error:
            raise RemoteError(f"{self._client.base_url} did not answer: {error}") from error
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise _refused(answer)
        return answer


def _why_no_connection(url: str, error: Exception) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return (
            f"the certificate of {url} is not trusted here: lading trust-host {urlsplit(url).netloc}, or name its authority "
            f"with --ca FILE (it is served as {url}/ca)"
        )
    return f"can't reach {url}: {error}"


def _refused(answer: httpx.Response) -> RemoteError:
    code = RemoteError.code
    try:
        first = answer.json()["errors"][0]
        message, code = str(first["message"]), str(first.get("code", code))
    except (ValueError, KeyError, IndexError, TypeError):
        message = f"the server answered {answer.status_code}, and not in JSON: is this a Lading server?"
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        message += "; sign in with: lading login HOST"
    refused = RemoteError(message)
    refused.code = code
    refused.kind = Kind.UNAUTHENTICATED if answer.status_code == HTTPStatus.UNAUTHORIZED else Kind.INVALID
    return refused


def run_api(
    target: Target, work: Callable[[Api], Awaitable[_Result]], *, password: str | None = None, token: str | None = None
) -> _Result:
    """What `work` gives, over the installation that `target` names.

    `password` or `token` is given when the command knows it already. Errors: SettingsError, RemoteError.
    """
    if target.data is not None:
        return _run_here(target.data, work)
    kept = kept_logins()
    url = server_url(target.url or kept.get("current") or "")
    login = kept.get("servers", {}).get(url, {})
    authority = target.authority or (Path(login["ca"]) if login.get("ca") else None)
    headers, basic = _credentials(target, token or login.get("token"), password)

    async def there() -> _Result:
        async with httpx.AsyncClient(
            base_url=url, verify=trust(authority, url), headers=headers, auth=basic, timeout=_TIMEOUT_SECONDS
        ) as client:
            return await work(Api(client, target.username or login.get("username", "")))

    return asyncio.run(there())


def _run_here(data: Path, work: Callable[[Api], Awaitable[_Result]]) -> _Result:
    # The whole server takes a second to import, and most commands only talk to one.
    from lading.app.parts import Parts  # noqa: PLC0415 — see above
    from lading.app.rest import make_rest  # noqa: PLC0415 — see above
    from lading.cli.local import run_local  # noqa: PLC0415 — see above

    async def here(parts: Parts) -> _Result:
        transport = DoorTransport(make_rest(parts, everyone=_OPERATOR))
        async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as client:
            return await work(Api(client))

    return run_local(data, None, here)


def _credentials(
    target: Target, kept: str | None, password: str | None
) -> tuple[dict[str, str], httpx.BasicAuth | None]:
    if target.username is not None:
        known = password if password is not None else typer.prompt("Password", hide_input=True, err=True)
        return {}, httpx.BasicAuth(target.username, known)
    token = os.environ.get("LADING_TOKEN") or kept
    if file := os.environ.get("LADING_TOKEN_FILE"):
        try:
            token = Path(file).read_text().strip()
        except OSError as error:
            raise SettingsError(f"can't read LADING_TOKEN_FILE {file}: {error.strerror}") from error
    if not token:
        raise SettingsError(
            "no credentials: lading login HOST, or LADING_TOKEN, or --username; or --data for local work"
        )
    return {"Authorization": f"Bearer {token}"}, None


def trust(authority: Path | None, url: str) -> ssl.SSLContext:
    """What the server's certificate is checked against. Errors: SettingsError.

    The authority's file; else this machine's authorities, and the one that `lading trust-host` wrote for that server.
    """
    try:
        if authority is not None:
            return ssl.create_default_context(cafile=str(authority))
        context = ssl.create_default_context()
        kept = places(urlsplit(url).netloc)[0].path
        if kept.exists():
            authority = kept
            context.load_verify_locations(kept)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"can't read the certificate authority {authority}: {error}") from error
    return context


def server_url(text: str) -> str:
    """`HOST`, `HOST:PORT` or a URL as https://host:port. Errors: SettingsError."""
    if not text:
        raise SettingsError("which server? lading login HOST, or --url https://HOST (LADING_URL), or --data DIR")
    url = text if "://" in text else f"https://{text}"
    if not url.startswith("https://"):
        raise SettingsError(f"{text} is not https://: credentials go over TLS only")
    return url.rstrip("/")


# --- what `lading login` keeps ---------------------------------------------------------------------------------------


def _kept_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "lading" / "config.json"


def kept_logins() -> dict[str, Any]:
    """`{"current": url, "servers": {url: {"username", "token", "token_id", "ca"?}}}`. Errors: SettingsError."""
    try:
        document: dict[str, Any] = json.loads(_kept_file().read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"can't read {_kept_file()}: {error}; remove it and sign in again") from error
    return document


def keep_logins(document: Mapping[str, Any]) -> None:
    """Written 0600, in a folder 0700."""
    file = _kept_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(file, json.dumps(document, indent=2).encode())


# --- names and doors -------------------------------------------------------------------------------------------------


def repository_path(name: str) -> str:
    """The API's path of a repository. Errors: NameInvalidError."""
    parsed = RepositoryName.parse(name)
    return f"/api/v0/repositories/{parsed.namespace}/{quote(parsed.name, safe='')}"


class DoorTransport(httpx.AsyncBaseTransport):
    """Carries requests to a door in this process."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.partition(b"?")
        body = await request.aread()

        async def chunks() -> AsyncIterator[bytes]:
            if body:
                yield body

        asked = Request(
            request.method,
            path,
            query,
            header=request.headers.get,
            headers=request.headers.get_list,
            chunks=chunks,
            peer="127.0.0.1",
            behind_edge=False,
        )
        answer = await self._door(asked)
        return httpx.Response(answer.status, headers=answer.headers, content=answer.growing or answer.body)
