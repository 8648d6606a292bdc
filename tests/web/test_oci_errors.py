"""Errors: every code once, with its status and the one shape of body. Source: OCI distribution spec 1.1, "Error codes"."""

import re
import secrets
from pathlib import Path
from typing import Any

import pytest

from support.apps import Doors, Repository, open_doors
from support.registries import digest_of, make_image

pytestmark = pytest.mark.asyncio(loop_scope="session")

ABSENT = "sha256:" + "0" * 64


def check(answer: Any, status: int, code: str) -> None:
    """The answer is the error, in the shape that the specification gives."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    document = answer.json()
    assert re.fullmatch(r"[A-Za-z0-9_-]{8,64}", document["requestId"])
    (error,) = document["errors"]
    assert error["code"] == code
    assert error["message"]
    assert set(error) <= {"code", "message", "detail"}


@pytest.mark.parametrize(
    ("method", "rest", "status", "code"),
    [
        ("GET", f"blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
        ("PATCH", "blobs/uploads/0", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "manifests/absent", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
        ("GET", "blobs/sha256:0", 400, "DIGEST_INVALID"),
        ("GET", "manifests/-", 400, "TAG_INVALID"),
        ("GET", "../manifests/x", 400, "NAME_INVALID"),
        ("GET", "tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"),
        ("PUT", "manifests/latest", 400, "MANIFEST_INVALID"),
        ("PUT", "tags/list", 405, "UNSUPPORTED"),
        ("GET", "nothing/at/all", 404, "UNSUPPORTED"),
    ],
)
async def test_an_error_has_its_code_status_and_shape(
    repository: Repository, method: str, rest: str, status: int, code: str
) -> None:
    request = repository.client.build_request(method, "/", content=b"x" if method in {"PUT", "PATCH"} else b"")
    request.url = request.url.copy_with(raw_path=f"/v2/{repository.name}/{rest}".encode())  # as it is, dots too
    check(await repository.client.send(request), status, code)


async def test_an_unknown_repository_is_named_to_who_may_know(shared_doors: Doors) -> None:
    holder = await shared_doors.holder("alice", "repository:alice/nothing:*")
    repository = Repository(shared_doors, "alice/nothing", holder)
    for method, rest in (
        ("GET", "tags/list"),
        ("GET", "manifests/x"),
        ("GET", f"blobs/{ABSENT}"),
        ("DELETE", "manifests/x"),
    ):
        answer = await repository.ask(method, rest)
        check(answer, 404, "NAME_UNKNOWN")
        assert answer.json()["errors"][0]["detail"] == {"name": "alice/nothing"}


async def test_the_details_name_what_is_missing(repository: Repository) -> None:
    for rest, detail in ((f"blobs/{ABSENT}", {"digest": ABSENT}), ("manifests/x", {"reference": "x"})):
        assert (await repository.ask("GET", rest)).json()["errors"][0]["detail"] == detail


async def test_a_stranger_is_unauthorized(shared_doors: Doors) -> None:
    check(await shared_doors.client().get("/v2/alice/app/tags/list"), 401, "UNAUTHORIZED")


async def test_an_upload_that_can_not_go_on_is_invalid(repository: Repository) -> None:
    place = (await repository.ask("POST", "blobs/uploads/")).headers["location"]
    for span, status in (("nonsense", 400), ("5-9", 416)):
        answer = await repository.client.patch(place, content=b"01234", headers={"Content-Range": span})
        check(answer, status, "BLOB_UPLOAD_INVALID")


async def test_a_manifest_that_is_too_large_has_an_invalid_size(repository: Repository) -> None:
    check(await repository.put("latest", b"{" + b" " * (4 * 1024 * 1024)), 413, "SIZE_INVALID")


async def test_an_immutable_tag_is_denied(shared_doors: Doors) -> None:
    repository = await shared_doors.repository(f"alice/{secrets.token_hex(6)}", immutableTags=True)
    await repository.put("1", make_image().manifest)
    check(await repository.put("1", make_image().manifest), 409, "DENIED")


async def test_missing_content_is_unknown_where_sparse_images_are_off(upgraded_url: str, tmp_path: Path) -> None:
    async with open_doors(upgraded_url, tmp_path / "data", sparse_images=False) as doors:
        repository = await doors.repository("alice/app")
        check(await repository.put("latest", make_image().manifest), 404, "MANIFEST_BLOB_UNKNOWN")


async def test_a_full_storage_is_denied(upgraded_url: str, tmp_path: Path) -> None:
    async with open_doors(upgraded_url, tmp_path / "data", reserve_bytes=2**62) as doors:
        repository = await doors.repository("alice/app")
        check(await repository.ask("POST", "blobs/uploads/"), 507, "DENIED")


async def test_a_storage_that_can_not_be_written_is_unavailable_and_promises_nothing(
    upgraded_url: str, tmp_path: Path
) -> None:
    async with open_doors(upgraded_url, tmp_path / "data") as doors:
        repository = await doors.repository("alice/app")
        folder = doors.parts.folder.blobs / "sha256"
        folder.write_bytes(b"in the way of the blobs")
        params = {"digest": digest_of(b"x")}
        check(await repository.ask("POST", "blobs/uploads/", params=params, content=b"x"), 503, "UNAVAILABLE")
        assert (await repository.ask("HEAD", f"blobs/{params['digest']}")).status_code == 404
        folder.unlink()
        assert (await repository.ask("POST", "blobs/uploads/", params=params, content=b"x")).status_code == 201


async def test_a_guesser_is_told_that_there_were_too_many_requests(upgraded_url: str, tmp_path: Path) -> None:
    async with open_doors(upgraded_url, tmp_path / "data") as doors:
        guesser = doors.client("alice", "wrong")
        answers = [await guesser.get("/auth/token") for _ in range(13)]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize("rest", [f"blobs/{ABSENT}", f"manifests/{ABSENT}", "manifests/absent"])
async def test_an_error_to_head_has_the_headers_and_no_body(repository: Repository, rest: str) -> None:
    answer = await repository.ask("HEAD", rest)
    assert (answer.status_code, answer.content) == (404, b"")
    assert int(answer.headers["content-length"]) > 0
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
