"""Requests to places that users or administrators name: one client factory, which looks before it connects.

Rules:
1. A host's name is resolved here, once per connection; when any of its addresses is not the internet's (loopback, private,
   link-local, …) nothing is connected, unless an administrator allowed the host.
2. The connection goes to an address that was looked at, so that a name which changes meanwhile leads nowhere else.
3. A redirect, where one is followed, is another connection, and looked at as well.
4. Answers are bounded: their size, and the time they take.
5. No proxy of the environment is used: behind it nobody looks.

Source: reference of attacks, rows 12 and 13 (server-side request forgery, DNS rebinding, redirects).
"""

import asyncio
import socket
import ssl
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httpcore
import httpx

from lading.core.errors import InvalidError, UnavailableError

_TIMEOUT = httpx.Timeout(10, connect=5)
_WHOLE_SECONDS = 20
_LIMITS = httpx.Limits(max_connections=10, max_keepalive_connections=0)
_NAT64 = ip_network("64:ff9b::/96")


class AddressRefusedError(InvalidError):
    """The host is, or leads to, an address that is not the internet's."""

    code = "ADDRESS_REFUSED"

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is, or leads to, a private, loopback or link-local address, and nobody allowed that")


class NoAnswerError(UnavailableError):
    """The other side does not answer, or not as it should; why is safe to show."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"{host} {why}")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """True for addresses of the internet, and for forms that carry an IPv4 address when that is one."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_unspecified


async def resolve(host: str, port: int) -> list[str]:
    """The host's addresses, best first; the host may be an address. Errors: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects where rule 1 allows."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 — httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"can't resolve {host}") from error
        if host.lower() not in self._allowed and not all(is_public(ip_address(one)) for one in addresses):
            raise AddressRefusedError(host)
        problem: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem


class _CheckedTransport(httpx.AsyncHTTPTransport):
    def __init__(self, context: ssl.SSLContext, allowed: Collection[str]) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=_LIMITS.max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            network_backend=_CheckedBackend(allowed),
        )


def make_client(
    *, authorities: str = "", allowed_hosts: Collection[str] = (), follow_redirects: bool = False
) -> httpx.AsyncClient:
    """A client by the rules; close it.

    Shape: `authorities` are certificates, PEM, trusted instead of the system's; `allowed_hosts`, in lower case and without
    port, may be anywhere. Errors, of its requests: AddressRefusedError, httpx.HTTPError. Credentials given for one request
    stay with its host: httpx drops `Authorization` when a redirect leads to another one.
    """
    return httpx.AsyncClient(
        transport=_CheckedTransport(_context(authorities.strip()), frozenset(allowed_hosts)),
        timeout=_TIMEOUT,
        follow_redirects=follow_redirects,
        max_redirects=5,
        trust_env=False,
        headers={"User-Agent": "lading", "Accept-Encoding": "identity"},
    )


@lru_cache(maxsize=32)
def _context(authorities: str) -> ssl.SSLContext:
    # Kept: reading the system's certificates takes tens of milliseconds.
    return ssl.create_default_context(cadata=authorities or None)


async def fetch(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    limit_bytes: int,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> tuple[int, bytes]:
    """Status and body, at most `limit_bytes` of it. Errors: NoAnswerError, also for longer bodies; AddressRefusedError."""
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, TypeError) as error:
        raise NoAnswerError(url[:200], "is not an address") from error
    body = b""
    try:
        async with asyncio.timeout(_WHOLE_SECONDS):
            sent = client.build_request(method, url, headers=headers, data=form)
            basic = None if auth is None else httpx.BasicAuth(*auth)
            answer = await client.send(sent, stream=True, auth=basic)
            try:
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > limit_bytes:
                        raise NoAnswerError(host, "answers with more than is taken")
            finally:
                await answer.aclose()
    except httpx.ConnectError as error:
        why = "shows a certificate that is not trusted" if _is_certificate(error) else "can't be reached"
        raise NoAnswerError(host, why) from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise NoAnswerError(host, "does not answer in time") from error
    except httpx.HTTPError as error:
        raise NoAnswerError(host, "does not answer") from error
    return answer.status_code, body


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
