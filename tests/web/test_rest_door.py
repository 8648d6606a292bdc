"""What stands before the REST doors' routing: who, how much, what kind, which path."""

import httpx
import pytest

from support.apps import Doors


async def test_a_strangers_body_is_not_looked_at(doors: Doors) -> None:
    async with doors.client() as anonymous:
        answer = await anonymous.post("/api/v0/repositories/alice", json={"name": "x"})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "NOT_AUTHENTICATED")
        assert answer.headers["www-authenticate"].startswith("Basic")
        broken = await anonymous.post("/api/v0/repositories/alice", content=b"{", headers={"Content-Type": "x/y"})
        assert broken.status_code == 401


@pytest.mark.parametrize(
    ("content", "kind", "status", "word"),
    [
        (b"{", "application/json", 400, "INVALID_JSON"),
        (b"[]", "application/json", 400, "INVALID_PARAMETERS"),
        (b'{"name": "x", "shortDescription": "\\u0000"}', "application/json", 400, "INVALID_PARAMETERS"),
        (b'{"name": "x"}', "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"name=x", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b" " * (1024 * 1024 + 1), "application/json", 413, "TOO_LARGE"),
    ],
)
async def test_a_body_that_is_not_what_it_should_be(
    doors: Doors, content: bytes, kind: str, status: int, word: str
) -> None:
    async with doors.client("alice") as alice:
        answer = await alice.post("/api/v0/repositories/alice", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, word)


@pytest.mark.parametrize(
    "path",
    [
        "//api/v0/api_tokens", "/api/v0//api_tokens", "/api/v0/api_tokens/", "/API/v0/api_tokens", "/api/v0/api_tokens;x",
        "/api/v0/x/..;/api_tokens", "/api/v0/%2e%2e/v0/api_tokens", "/api/v0/repositories/a/%252e%252e", "/api/v0/nothing",
    ],
)  # fmt: skip
async def test_attack_17_path_tricks_lead_nowhere(doors: Doors, path: str) -> None:
    async with doors.client() as anonymous:
        request = anonymous.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await anonymous.send(request)
        assert answer.status_code in {400, 404}
        assert answer.json()["errors"]


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic YQ==", "Bearer x", "Bearer ", "Digest x", "x"])
async def test_wrong_credentials_are_401_everywhere(doors: Doors, header: str) -> None:
    async with doors.client() as anonymous:
        for path in ("/api/v0/repositories", "/api/v0/openapi.json", "/api/v0/nothing"):
            answer = await anonymous.get(path, headers={"Authorization": header})
            assert answer.status_code == 401


async def test_a_method_that_is_not_there_is_405(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        answer = await alice.put("/api/v0/repositories", json={})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "NOT_ALLOWED")


async def test_answers_are_kept_by_nobody_and_asked_over_tls_only(doors: Doors) -> None:
    async with doors.client() as anonymous:
        for path in ("/api/v0/repositories", "/api/v0/nothing"):
            headers = (await anonymous.get(path)).headers
            assert headers["cache-control"] == "no-store"
            assert "max-age" in headers["strict-transport-security"]


async def test_the_description_of_the_api_tells_every_path_and_no_422(doors: Doors) -> None:
    async with doors.client() as anonymous:
        answer: httpx.Response = await anonymous.get("/api/v0/openapi.json")
        document = answer.json()
        assert {"/api/v0/repositories", "/enzi/v0/accounts", "/api/v0/meta/settings"} <= set(document["paths"])
        assert "422" not in answer.text


async def test_head_answers_as_get_without_a_body(doors: Doors) -> None:
    async with doors.client() as anonymous:
        answer = await anonymous.head("/api/v0/repositories")
        assert (answer.status_code, answer.content) == (200, b"")
