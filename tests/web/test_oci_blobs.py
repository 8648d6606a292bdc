"""Blobs: asked for, in parts, and deleted. Source: OCI distribution spec 1.1, "Pulling blobs"; RFC 9110 on ranges."""

import hashlib
import secrets

import pytest

from support.apps import Repository
from support.registries import digest_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

ABSENT = "sha256:" + "0" * 64
CONTENT = bytes(range(256)) * 10


async def test_a_blob_comes_whole_with_its_digest_and_length(repository: Repository) -> None:
    digest = await repository.push_blob(CONTENT)
    answer = await repository.ask("GET", f"blobs/{digest}")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["docker-content-digest"] == digest
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["etag"] == f'"{digest}"'
    assert answer.headers["accept-ranges"] == "bytes"


async def test_head_tells_what_get_would_and_sends_nothing(repository: Repository) -> None:
    digest = await repository.push_blob(CONTENT)
    head, get = [await repository.ask(method, f"blobs/{digest}") for method in ("HEAD", "GET")]
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 2560),
        ("bytes=10-19", 10, 20),
        ("bytes=2500-", 2500, 2560),
        ("bytes=2500-99999", 2500, 2560),
        ("bytes=-1", 2559, 2560),
        ("bytes=-100", 2460, 2560),
        ("bytes=-99999", 0, 2560),
    ],
)
async def test_one_range_of_a_blob_is_sent(repository: Repository, asked: str, start: int, end: int) -> None:
    digest = await repository.push_blob(CONTENT)
    answer = await repository.ask("GET", f"blobs/{digest}", headers={"Range": asked})
    assert answer.content == CONTENT[start:end]
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["docker-content-digest"] == digest
    if end - start < len(CONTENT):
        assert (answer.status_code, answer.headers["content-range"]) == (206, f"bytes {start}-{end - 1}/2560")
    else:
        assert answer.status_code == 200


@pytest.mark.parametrize("asked", ["bytes=2560-", "bytes=9999-10000", "bytes=-0", "bytes=5-4"])
async def test_a_range_outside_the_blob_is_416_and_tells_the_length(repository: Repository, asked: str) -> None:
    digest = await repository.push_blob(CONTENT)
    answer = await repository.ask("GET", f"blobs/{digest}", headers={"Range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */2560")
    assert answer.json()["errors"][0]["code"] == "RANGE_INVALID"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "items=0-1", "bytes=x-y", "bytes=-", "nonsense"])
async def test_several_ranges_and_nonsense_get_the_whole_blob(repository: Repository, asked: str) -> None:
    digest = await repository.push_blob(CONTENT)
    answer = await repository.ask("GET", f"blobs/{digest}", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("form", ['"{}"', "{}", 'W/"{}"', '"other", "{}"', "*"])
async def test_a_blob_that_the_client_has_is_not_sent_again(repository: Repository, form: str) -> None:
    digest = await repository.push_blob(CONTENT)
    answer = await repository.ask("GET", f"blobs/{digest}", headers={"If-None-Match": form.format(digest)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{digest}"'
    assert "content-length" not in answer.headers  # RFC 9110, 8.6: it would have to be the blob's


async def test_a_blob_that_the_client_has_not_is_sent(repository: Repository) -> None:
    digest = await repository.push_blob(CONTENT)
    answer = await repository.ask("GET", f"blobs/{digest}", headers={"If-None-Match": f'"{ABSENT}"'})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("data", [b"", b"x", CONTENT], ids=["empty", "small", "larger"])
async def test_blobs_of_any_length_are_kept_under_both_algorithms(
    repository: Repository, algorithm: str, data: bytes
) -> None:
    digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    pushed = await repository.ask("POST", "blobs/uploads/", params={"digest": digest}, content=data)
    assert pushed.status_code == 201
    assert pushed.headers["docker-content-digest"] == digest
    answer = await repository.ask("GET", f"blobs/{digest}")
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-length"] == str(len(data))


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_a_blob_that_is_not_there_is_unknown(repository: Repository, method: str) -> None:
    answer = await repository.ask(method, f"blobs/{ABSENT}")
    assert answer.status_code == 404
    if method == "HEAD":
        assert answer.content == b""
    else:
        assert answer.json()["errors"][0]["code"] == "BLOB_UNKNOWN"


@pytest.mark.parametrize(
    "text", ["sha256:x", "md5:" + "0" * 32, "sha256:" + "A" * 64, "sha512:" + "0" * 64, "nonsense", "sha256"]
)
async def test_what_is_no_digest_is_refused(repository: Repository, text: str) -> None:
    answer = await repository.ask("GET", f"blobs/{text}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")


async def test_attack_6_a_blob_of_another_repository_is_unknown_here(repository: Repository) -> None:
    other = await repository.doors.repository(f"bob/{secrets.token_hex(6)}")
    digest = await other.push_blob(secrets.token_bytes(100))
    for method in ("GET", "HEAD", "DELETE"):
        assert (await repository.ask(method, f"blobs/{digest}")).status_code == 404
    assert (await other.ask("GET", f"blobs/{digest}")).status_code == 200


async def test_a_deleted_blob_is_gone_here_and_stays_elsewhere(repository: Repository) -> None:
    other = await repository.doors.repository(f"bob/{secrets.token_hex(6)}")
    data = secrets.token_bytes(100)
    digest = await repository.push_blob(data)
    await other.push_blob(data)
    assert (await repository.ask("DELETE", f"blobs/{digest}")).status_code == 202
    assert (await repository.ask("GET", f"blobs/{digest}")).status_code == 404
    assert (await repository.ask("DELETE", f"blobs/{digest}")).status_code == 404
    assert (await other.ask("GET", f"blobs/{digest}")).content == data
    await repository.push_blob(data)
    assert (await repository.ask("GET", f"blobs/{digest}")).content == data


async def test_anyone_pulls_from_a_public_repository_and_pushes_nothing(repository: Repository) -> None:
    name = f"alice/{secrets.token_hex(6)}"
    public = await repository.doors.repository(name, visibility="public")
    digest = await public.push_blob(CONTENT)
    stranger = Repository(public.doors, name, await public.doors.holder(None, f"repository:{name}:*"))
    assert (await stranger.ask("GET", f"blobs/{digest}")).content == CONTENT
    assert (await stranger.ask("DELETE", f"blobs/{digest}")).status_code == 401
    assert (await stranger.ask("POST", "blobs/uploads/")).status_code == 401


async def test_a_blob_costs_one_question_to_the_database(repository: Repository) -> None:
    digest = await repository.push_blob(CONTENT)
    points = repository.doors.database.points
    for method in ("GET", "HEAD"):
        before = points.count
        assert (await repository.ask(method, f"blobs/{digest}")).status_code == 200
        assert points.count - before == 1


async def test_the_same_bytes_may_be_pushed_again(repository: Repository) -> None:
    assert await repository.push_blob(CONTENT) == await repository.push_blob(CONTENT) == digest_of(CONTENT)
    assert (await repository.ask("GET", f"blobs/{digest_of(CONTENT)}")).content == CONTENT
