"""The API explorer at `/docs/api`: Swagger UI 5.35.0 (Apache-2.0, its files as published), and a page of ours around it.

All files come from here, so it works without internet, and the policy that is sent along forbids all else: no script or
style but these, no address but this server's. It is the same for everyone and knows nothing; what it asks, it asks as the
browser's user. Source: DTR reference 1.1.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lading.web.errors import error_answer
from lading.web.exchange import Answer, Headers, Request

EXPLORER = b"/docs/api"
_FILES = Path(__file__).with_name("explorer_files")
_SWAGGER_UI = _FILES / "swagger-ui-5.35.0"
_PAGES: Mapping[bytes, tuple[Path, str]] = {
    EXPLORER: (_FILES / "index.html", "text/html; charset=utf-8"),
    EXPLORER + b"/": (_FILES / "index.html", "text/html; charset=utf-8"),
    EXPLORER + b"/explorer.css": (_FILES / "explorer.css", "text/css; charset=utf-8"),
    EXPLORER + b"/explorer.js": (_FILES / "explorer.js", "text/javascript; charset=utf-8"),
    EXPLORER + b"/swagger-ui.css": (_SWAGGER_UI / "swagger-ui.css", "text/css; charset=utf-8"),
    EXPLORER + b"/swagger-ui-bundle.js": (_SWAGGER_UI / "swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; "  # Swagger UI's style sheet draws its arrows so
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Headers = [
    ("content-security-policy", POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
]


@dataclass(frozen=True)
class ExplorerDoor:
    """The door of the explorer's few files."""

    async def __call__(self, request: Request) -> Answer:
        answer = await self._answer(request)
        answer.headers = [*answer.headers, *_HEADERS]
        return answer.without_body() if request.method == "HEAD" else answer

    async def _answer(self, request: Request) -> Answer:
        if request.method not in {"GET", "HEAD"}:
            allow = [("allow", "GET, HEAD")]
            return error_answer(405, "NOT_ALLOWED", "only GET is possible here", request.request_id, headers=allow)
        found = _PAGES.get(request.path)
        if found is None:
            return error_answer(404, "NOT_FOUND", "there is nothing here", request.request_id)
        path, kind = found
        content = await asyncio.to_thread(path.read_bytes)
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        # Asked about each time, so that a newer server's page finds no older server's script; answered with nothing mostly.
        headers = [("cache-control", "no-cache"), ("etag", tag)]
        if request.header("if-none-match") == tag:
            return Answer(304, headers)
        return Answer(200, [("content-type", kind), *headers], content)
