"""The open doors: health, the authority's certificate, and a word for those who come with a browser."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

import msgspec

from lading.cluster.health import HealthChecks
from lading.web.exchange import Answer, Headers, Request
from lading.web.metrics import exposition, requests_answered

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

_JSON: Headers = [("content-type", "application/json"), ("cache-control", "no-store")]


@dataclass(frozen=True)
class OpenDoor:
    """The door of what anyone may read."""

    health: HealthChecks
    authority: Path
    metrics: Path
    url: str
    status_networks: Sequence[IPv4Network | IPv6Network]  # who may read /metrics and /nginx_status

    async def __call__(self, request: Request) -> Answer:
        answer = await self._answer(request)
        answer.headers = [*answer.headers, ("x-content-type-options", "nosniff")]
        return answer.without_body() if request.method == "HEAD" else answer

    async def _answer(self, request: Request) -> Answer:
        if request.method not in {"GET", "HEAD"}:
            return _error(405, "UNSUPPORTED", "only GET is possible here", request)
        match request.path:
            case b"/health" | b"/_ping":
                health = await self.health.look()
                # Source: DTR reference 6.5, to the letter, the capitals too.
                body = msgspec.json.encode({"Error": health.error, "Healthy": health.is_healthy})
                return Answer(200 if health.is_healthy else 503, _JSON, body)
            case b"/metrics" if self._is_near(request):
                numbers = await asyncio.to_thread(exposition, self.metrics)
                return Answer(200, [("content-type", "text/plain; version=0.0.4; charset=utf-8")], numbers)
            case b"/nginx_status" if self._is_near(request):
                return Answer(200, [("content-type", "text/plain")], await asyncio.to_thread(self._status))
            case b"/ca":
                return Answer(200, [("content-type", "application/x-pem-file")], self.authority.read_bytes())
            case b"/":
                host = self.url.partition("://")[2]
                text = f"This is Lading, a registry for container images. Sign in: docker login {host}\n"
                return Answer(200, [("content-type", "text/plain; charset=utf-8")], text.encode())
            case _:
                return _error(404, "NOT_FOUND", "there is nothing here", request)

    def _is_near(self, request: Request) -> bool:
        """True for callers from loopback and the configured networks; for others these pages do not exist."""
        try:
            address = ip_address(request.client)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:  # a socket that listens on both
            address = address.ipv4_mapped
        return any(address in network for network in self.status_networks)

    def _status(self) -> bytes:
        """nginx's stub_status form, for when there is no nginx to ask: connections are not told apart from requests."""
        answered = requests_answered(self.metrics)
        counts = f"{answered} {answered} {answered}"
        page = (
            f"Active connections: 1 \nserver accepts handled requests\n {counts} \nReading: 0 Writing: 1 Waiting: 0 \n"
        )
        return page.encode()


def _error(status: int, code: str, message: str, request: Request) -> Answer:
    body = {"errors": [{"code": code, "message": message}], "requestId": request.request_id}
    return Answer(status, _JSON, msgspec.json.encode(body))
