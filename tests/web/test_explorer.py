"""The API explorer: all of it comes from here, and may ask nobody else."""

import hashlib
import re

import httpx
import pytest

from lading.web.asgi import Receive, Scope, Send, answer_asgi
from lading.web.explorer import _PAGES, _SWAGGER_UI, ExplorerDoor

PUBLISHED = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
"""SHA-256 of the files of swagger-ui-dist 5.35.0, as its publisher gave them out."""


def explorer() -> httpx.AsyncClient:
    """A client of the door alone."""
    door = ExplorerDoor()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await answer_asgi(door, scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(answer), base_url="https://registry.test")


async def test_the_page_and_all_that_it_names_are_ours() -> None:
    async with explorer() as anyone:
        page = await anyone.get("/docs/api")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        named = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        assert len(named) >= 4
        known = {"data:,", "/api/v0/openapi.json"}
        for target in named:
            assert target in known or (await anyone.get(target)).status_code == 200, target
        assert re.findall(r"<script(?! src=)|<style| style=| on\w+=", page.text) == []
        script = (await anyone.get("/docs/api/explorer.js")).text
        assert re.findall(r"https?:|//[a-z]", script) == []


async def test_the_policy_allows_this_server_only() -> None:
    async with explorer() as anyone:
        for path in (*(raw.decode() for raw in _PAGES), "/docs/api/nothing"):
            answer = await anyone.get(path)
            policy = dict(item.strip().split(" ", 1) for item in answer.headers["content-security-policy"].split(";"))
            assert policy.pop("img-src") == "'self' data:"
            assert policy.pop("default-src") == "'none'"
            assert set(policy.values()) == {"'self'", "'none'"}
            assert {"base-uri", "form-action", "frame-ancestors", "script-src", "connect-src"} <= set(policy)
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_files_are_asked_about_each_time_and_sent_once() -> None:
    async with explorer() as anyone:
        first = await anyone.get("/docs/api/swagger-ui-bundle.js")
        assert first.headers["cache-control"] == "no-cache"
        again = await anyone.get("/docs/api/swagger-ui-bundle.js", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        head = await anyone.head("/docs/api/swagger-ui-bundle.js")
        assert (head.headers["content-length"], head.content) == (str(len(first.content)), b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/docs/api", 405),
        ("GET", "/docs/api/LICENSE", 404),
        ("GET", "/docs/api/%2e%2e/description.py", 404),
        ("GET", "/docs/api/swagger-ui.css/", 404),
    ],
)
async def test_there_is_nothing_else(method: str, path: str, status: int) -> None:
    async with explorer() as anyone:
        request = anyone.build_request(method, "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await anyone.send(request)
        assert answer.status_code == status
        assert answer.json()["errors"]


async def test_swagger_ui_is_as_published_and_comes_with_its_licences() -> None:
    for name, digest in PUBLISHED.items():
        assert hashlib.sha256((_SWAGGER_UI / name).read_bytes()).hexdigest() == digest
    for name in ("LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"):
        assert (_SWAGGER_UI / name).stat().st_size
