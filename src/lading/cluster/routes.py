"""The open doors: health, the authority's certificate, and a word for those who come with a browser."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from lading.cluster.health import HealthChecks
from lading.web.exchange import Answer, Headers, Request

_JSON: Headers = [("content-type", "application/json"), ("cache-control", "no-store")]


@dataclass(frozen=True)
class OpenDoor:
    """The door of what anyone may read."""

    health: HealthChecks
    authority: Path
    url: str

    async def __call__(self, request: Request) -> Answer:
        answer = await self._answer(request)
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
            case b"/ca":
                return Answer(200, [("content-type", "application/x-pem-file")], self.authority.read_bytes())
            case b"/":
                host = self.url.partition("://")[2]
                text = f"This is Lading, a registry for container images. Sign in: docker login {host}\n"
                return Answer(200, [("content-type", "text/plain; charset=utf-8")], text.encode())
            case _:
                return _error(404, "NOT_FOUND", "there is nothing here", request)


def _error(status: int, code: str, message: str, request: Request) -> Answer:
    body = {"errors": [{"code": code, "message": message}], "requestId": request.request_id}
    return Answer(status, _JSON, msgspec.json.encode(body))
