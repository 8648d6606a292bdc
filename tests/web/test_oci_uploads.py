"""Uploads, from the first POST to the blob. Source: OCI distribution spec 1.1, "Pushing blobs"."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from support.apps import Doors, Repository
from support.registries import OCI_MANIFEST, digest_of, make_image

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIRST, SECOND = b"first chunk, ", b"and the last one"
WHOLE = FIRST + SECOND
ABSENT = "sha256:" + "0" * 64


async def begin(repository: Repository) -> str:
    """Where a new upload is, in the repository."""
    answer = await repository.ask("POST", "blobs/uploads/")
    assert answer.status_code == 202, answer.text
    return place(repository, answer)


def place(repository: Repository, answer: httpx.Response) -> str:
    return str(answer.headers["location"]).removeprefix(f"/v2/{repository.name}/")


async def streamed(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def staged(doors: Doors) -> set[str]:
    return {path.name for path in doors.parts.folder.uploads.iterdir()}


async def status_of(repository: Repository, upload: str) -> str:
    answer = await repository.ask("GET", upload)
    assert answer.status_code == 204, answer.text
    return str(answer.headers["range"])


def check_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


# --- the ways to push ------------------------------------------------------------------------------------------------


async def test_an_upload_begins_with_its_place_its_id_and_a_chunk_length(repository: Repository) -> None:
    answer = await repository.ask("POST", "blobs/uploads/")
    assert answer.status_code == 202
    assert answer.headers["location"].endswith(f"/blobs/uploads/{answer.headers['docker-upload-uuid']}")
    assert answer.headers["range"] == "0-0"
    assert int(answer.headers["oci-chunk-min-length"]) > 0


async def test_a_blob_is_pushed_by_post_and_put(repository: Repository) -> None:
    upload = await begin(repository)
    answer = await repository.ask("PUT", upload, params={"digest": digest_of(WHOLE)}, content=WHOLE)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v2/{repository.name}/blobs/{digest_of(WHOLE)}"
    assert answer.headers["docker-content-digest"] == digest_of(WHOLE)
    assert (await repository.client.get(answer.headers["location"])).content == WHOLE


async def test_a_blob_is_pushed_by_one_post(repository: Repository) -> None:
    answer = await repository.ask("POST", "blobs/uploads/", params={"digest": digest_of(WHOLE)}, content=WHOLE)
    assert answer.status_code == 201
    assert answer.headers["docker-content-digest"] == digest_of(WHOLE)
    assert (await repository.client.get(answer.headers["location"])).content == WHOLE


async def test_a_post_with_a_digest_and_no_body_begins_an_upload(repository: Repository) -> None:
    answer = await repository.ask("POST", "blobs/uploads/", params={"digest": digest_of(WHOLE)})
    assert answer.status_code == 202
    finished = await repository.ask(
        "PUT", place(repository, answer), params={"digest": digest_of(WHOLE)}, content=WHOLE
    )
    assert finished.status_code == 201


async def test_a_blob_is_pushed_in_chunks_the_last_one_with_the_put(repository: Repository) -> None:
    upload = await begin(repository)
    headers = {"Content-Range": f"0-{len(FIRST) - 1}"}
    chunk = await repository.ask("PATCH", upload, content=FIRST, headers=headers)
    assert (chunk.status_code, chunk.headers["range"]) == (202, f"0-{len(FIRST) - 1}")
    assert chunk.headers["docker-upload-uuid"] == upload.rpartition("/")[2]
    headers = {"Content-Range": f"{len(FIRST)}-{len(WHOLE) - 1}"}
    last = await repository.ask(
        "PUT", place(repository, chunk), params={"digest": digest_of(WHOLE)}, content=SECOND, headers=headers
    )
    assert last.status_code == 201
    assert (await repository.ask("GET", f"blobs/{digest_of(WHOLE)}")).content == WHOLE


@pytest.mark.parametrize("chunks", [1, 2, 20])
async def test_a_blob_is_pushed_in_chunks_and_closed_by_an_empty_put(repository: Repository, chunks: int) -> None:
    data = secrets.token_bytes(100 * chunks)
    upload = await begin(repository)
    for start in range(0, len(data), 100):
        chunk = await repository.ask("PATCH", upload, content=data[start : start + 100])
        assert (chunk.status_code, chunk.headers["range"]) == (202, f"0-{start + 99}")
    assert (await repository.ask("PUT", upload, params={"digest": digest_of(data)})).status_code == 201
    assert (await repository.ask("GET", f"blobs/{digest_of(data)}")).content == data


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
async def test_a_body_may_come_as_a_stream_of_unknown_length(repository: Repository, method: str) -> None:
    digest = {"digest": digest_of(WHOLE)}
    if method == "POST":
        answer = await repository.ask("POST", "blobs/uploads/", params=digest, content=streamed(FIRST, SECOND))
    else:
        upload = await begin(repository)
        if method == "PATCH":
            chunk = await repository.ask("PATCH", upload, content=streamed(FIRST, SECOND))
            assert (chunk.status_code, chunk.headers["range"]) == (202, f"0-{len(WHOLE) - 1}")
        more: dict[str, Any] = {} if method == "PATCH" else {"content": streamed(FIRST, SECOND)}
        answer = await repository.ask("PUT", upload, params=digest, **more)
    assert answer.status_code == 201
    assert (await repository.ask("GET", f"blobs/{digest_of(WHOLE)}")).content == WHOLE


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("chunks", [[], [b""], [FIRST], [FIRST, SECOND]], ids=len)
async def test_chunks_become_a_blob_under_both_algorithms(
    repository: Repository, algorithm: str, chunks: list[bytes]
) -> None:
    data = b"".join(chunks)
    digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    upload = await begin(repository)
    for chunk in chunks:
        assert (await repository.ask("PATCH", upload, content=chunk)).status_code == 202
    assert (await repository.ask("PUT", upload, params={"digest": digest})).status_code == 201
    assert (await repository.ask("GET", f"blobs/{digest}")).content == data


# --- status and cancelling -------------------------------------------------------------------------------------------


async def test_the_status_tells_where_to_go_on(repository: Repository) -> None:
    upload = await begin(repository)
    assert await status_of(repository, upload) == "0-0"
    await repository.ask("PATCH", upload, content=FIRST)
    answer = await repository.ask("GET", upload)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["range"] == f"0-{len(FIRST) - 1}"
    assert place(repository, answer) == upload
    assert answer.headers["docker-upload-uuid"] == upload.rpartition("/")[2]


async def test_a_cancelled_upload_is_gone_with_its_bytes(repository: Repository) -> None:
    before = staged(repository.doors)
    upload = await begin(repository)
    await repository.ask("PATCH", upload, content=FIRST)
    assert staged(repository.doors) > before
    assert (await repository.ask("DELETE", upload)).status_code == 204
    assert staged(repository.doors) == before
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await repository.ask(method, upload, params={"digest": ABSENT})
        check_refused(answer, 404, "BLOB_UPLOAD_UNKNOWN")


async def test_a_finished_upload_is_over(repository: Repository) -> None:
    before = staged(repository.doors)
    upload = await begin(repository)
    await repository.ask("PATCH", upload, content=FIRST)
    await repository.ask("PUT", upload, params={"digest": digest_of(WHOLE)}, content=SECOND)
    check_refused(await repository.ask("GET", upload), 404, "BLOB_UPLOAD_UNKNOWN")
    assert staged(repository.doors) == before


@pytest.mark.parametrize(
    ("upload_id", "status", "code"),
    [
        ("nonsense", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("0123456789ab-" + "0" * 32, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("-", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("x" * 300, 400, "BLOB_UPLOAD_INVALID"),
        ("a.b", 400, "BLOB_UPLOAD_INVALID"),
        ("%00", 400, "BLOB_UPLOAD_INVALID"),
        ("..%2e", 400, "NAME_INVALID"),
        ("a%2fb", 400, "NAME_INVALID"),
    ],
)
async def test_attack_25_an_upload_that_never_was_is_unknown_or_no_id_at_all(
    repository: Repository, upload_id: str, status: int, code: str
) -> None:
    check_refused(await repository.ask("PATCH", f"blobs/uploads/{upload_id}", content=b"x"), status, code)


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_attack_11_an_upload_is_its_beginners_and_its_repositorys_only(
    repository: Repository, method: str
) -> None:
    upload = await begin(repository)
    admins = Repository(
        repository.doors, repository.name, await repository.doors.holder("admin", f"repository:{repository.name}:*")
    )
    elsewhere = await repository.doors.repository(f"alice/{secrets.token_hex(6)}")
    for other in (admins, elsewhere):
        answer = await other.ask(method, upload, params={"digest": digest_of(b"x")}, content=b"x")
        check_refused(answer, 404, "BLOB_UPLOAD_UNKNOWN")
    assert await status_of(repository, upload) == "0-0"


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("span", ["1-13", f"{len(WHOLE)}-99", "0-12"])
async def test_a_chunk_out_of_order_is_416_with_the_place_to_go_on(repository: Repository, span: str) -> None:
    upload = await begin(repository)
    await repository.ask("PATCH", upload, content=FIRST)
    for method in ("PATCH", "PUT"):
        answer = await repository.ask(
            method, upload, params={"digest": ABSENT}, content=FIRST, headers={"Content-Range": span}
        )
        check_refused(answer, 416, "BLOB_UPLOAD_INVALID")
        assert answer.headers["range"] == f"0-{len(FIRST) - 1}"
        assert place(repository, answer) == upload
        assert answer.headers["docker-upload-uuid"] == upload.rpartition("/")[2]
    assert await status_of(repository, upload) == f"0-{len(FIRST) - 1}"


@pytest.mark.parametrize("span", ["nonsense", "5", "9-0", "-5", "0-x", "0-99999999999999999999"])
async def test_a_content_range_that_is_none_is_refused(repository: Repository, span: str) -> None:
    upload = await begin(repository)
    answer = await repository.ask("PATCH", upload, content=FIRST, headers={"Content-Range": span})
    check_refused(answer, 400, "BLOB_UPLOAD_INVALID")


async def test_content_range_and_content_length_must_agree(repository: Repository) -> None:
    upload = await begin(repository)
    answer = await repository.ask("PATCH", upload, content=FIRST, headers={"Content-Range": "0-99"})
    check_refused(answer, 400, "BLOB_UPLOAD_INVALID")
    assert await status_of(repository, upload) == "0-0"


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
@pytest.mark.parametrize("header", [{"Content-Length": "100"}, {"Content-Range": "0-99"}], ids=["length", "range"])
async def test_a_body_shorter_than_it_said_is_refused_and_forgotten(
    repository: Repository, method: str, header: dict[str, str]
) -> None:
    upload = "blobs/uploads/" if method == "POST" else await begin(repository)
    before = staged(repository.doors)
    answer = await repository.ask(
        method, upload, params={"digest": digest_of(FIRST)}, content=streamed(FIRST), headers=header
    )
    check_refused(answer, 400, "BLOB_UPLOAD_INVALID")
    assert staged(repository.doors) == before
    assert (await repository.ask("HEAD", f"blobs/{digest_of(FIRST)}")).status_code == 404
    if method != "POST":
        assert await status_of(repository, upload) == "0-0"


@pytest.mark.parametrize("digest", [ABSENT, "sha512:" + "0" * 128])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_wrong_digest_gives_the_upload_up_and_stores_nothing(
    repository: Repository, method: str, digest: str
) -> None:
    before = staged(repository.doors)
    upload = "blobs/uploads/" if method == "POST" else await begin(repository)
    more: dict[str, Any] = {"content": WHOLE}
    if method == "PATCH":
        await repository.ask("PATCH", upload, content=WHOLE)
        more = {}
    answer = await repository.ask("POST" if method == "POST" else "PUT", upload, params={"digest": digest}, **more)
    check_refused(answer, 400, "DIGEST_INVALID")
    assert staged(repository.doors) == before
    for absent in (digest, digest_of(WHOLE)):
        assert (await repository.ask("HEAD", f"blobs/{absent}")).status_code == 404
    if method != "POST":
        check_refused(await repository.ask("GET", upload), 404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("digest", [None, "", "nonsense", "md5:" + "0" * 32])
async def test_a_put_without_a_digest_is_refused_and_may_be_repeated(
    repository: Repository, digest: str | None
) -> None:
    upload = await begin(repository)
    await repository.ask("PATCH", upload, content=WHOLE)
    answer = await repository.ask("PUT", upload, params={} if digest is None else {"digest": digest})
    check_refused(answer, 400, "DIGEST_INVALID")
    assert (await repository.ask("PUT", upload, params={"digest": digest_of(WHOLE)})).status_code == 201


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30])
async def test_a_length_that_is_no_number_is_refused(repository: Repository, length: str) -> None:
    upload = await begin(repository)
    answer = await repository.ask("PATCH", upload, content=FIRST, headers={"Content-Length": length})
    assert answer.status_code == 400
    assert await status_of(repository, upload) == "0-0"


@pytest.mark.parametrize("what", ["blob", "upload", "manifest"])
async def test_what_comes_into_a_repository_that_is_deleted_meanwhile_is_refused(
    repository: Repository, what: str
) -> None:
    """By then the right to push was looked up already."""
    image, before = make_image(), staged(repository.doors)
    upload = await begin(repository)
    namespace, _, rest = repository.name.partition("/")

    async def body() -> AsyncIterator[bytes]:
        yield b""
        gone = await repository.doors.client(namespace).delete(f"/api/v0/repositories/{namespace}/{rest}")
        assert gone.status_code == 204
        yield WHOLE if what != "manifest" else image.manifest

    match what:
        case "blob":
            answer = await repository.ask("POST", "blobs/uploads/", params={"digest": digest_of(WHOLE)}, content=body())
        case "upload":
            answer = await repository.ask("PUT", upload, params={"digest": digest_of(WHOLE)}, content=body())
        case _:
            headers = {"Content-Type": OCI_MANIFEST}
            answer = await repository.ask("PUT", "manifests/latest", content=body(), headers=headers)
    check_refused(answer, 404, "NAME_UNKNOWN")
    assert staged(repository.doors) <= before


async def test_the_same_manifest_is_pushed_by_many_at_once(repository: Repository) -> None:
    image = make_image()
    answers = await asyncio.gather(*(repository.put("latest", image.manifest) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [201] * 8
