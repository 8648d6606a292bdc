"""Manifests: pushed, pulled and deleted, of every type. Source: OCI distribution spec 1.1 and its main branch; Docker's
image manifest v2, schema 2.
"""

import base64
import hashlib
import json
import secrets
from typing import Any

import httpx
import pytest

from lading.core.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_EMPTY, OCI_INDEX
from support.apps import Repository
from support.registries import CONFIG, LAYER, OCI_MANIFEST, descriptor, digest_of, make_image

pytestmark = pytest.mark.asyncio(loop_scope="session")

Document = dict[str, Any]
ABSENT = "sha256:" + "0" * 64


def image(**more: object) -> Document:
    """An image manifest unlike any other; what it names need not be here."""
    document: Document = json.loads(make_image().manifest)
    return document | more


def index(*children: dict[str, object], **more: object) -> Document:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **more}


def encoded(document: Document) -> bytes:
    return json.dumps(document).encode()


def check_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


# --- push and pull ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["tag", "digest"])
async def test_a_manifest_comes_back_byte_for_byte(repository: Repository, by: str) -> None:
    body = json.dumps(image(), indent=3).encode() + b"\n"
    digest = digest_of(body)
    reference = "latest" if by == "tag" else digest
    pushed = await repository.put(reference, body)
    assert pushed.status_code == 201
    assert pushed.headers["location"] == f"/v2/{repository.name}/manifests/{digest}"
    assert pushed.headers["docker-content-digest"] == digest
    for asked in {reference, digest}:
        answer = await repository.ask("GET", f"manifests/{asked}")
        assert (answer.status_code, answer.content) == (200, body)
        assert answer.headers["content-type"] == OCI_MANIFEST
        assert answer.headers["docker-content-digest"] == digest
        assert answer.headers["content-length"] == str(len(body))
        assert answer.headers["etag"] == f'"{digest}"'


async def test_head_tells_what_get_would_and_sends_nothing(repository: Repository) -> None:
    digest = await repository.push("latest", image())
    for reference in ("latest", digest):
        head, get = [await repository.ask(method, f"manifests/{reference}") for method in ("HEAD", "GET")]
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers == get.headers


@pytest.mark.parametrize(
    ("media_type", "document"),
    [
        (OCI_MANIFEST, image()),
        (DOCKER_MANIFEST, image(mediaType=DOCKER_MANIFEST)),
        (OCI_INDEX, index(descriptor(b"child", OCI_MANIFEST))),
        (DOCKER_LIST, index(descriptor(b"child", DOCKER_MANIFEST), mediaType=DOCKER_LIST)),
        (OCI_INDEX, index()),
        (OCI_MANIFEST, image(artifactType="application/vnd.example.sbom", annotations={"a": "b"})),
        (OCI_MANIFEST, image(config=descriptor(b"{}", OCI_EMPTY), layers=[descriptor(b"{}", OCI_EMPTY)])),
        (OCI_MANIFEST, image(layers=[descriptor(b"x", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")])),
        ("application/vnd.oci.artifact.manifest.v1+json", {"blobs": [descriptor(b"x", "text/plain")]}),
        ("application/vnd.example.anything.v3+json", {"anything": [1, 2, {"deep": None}]}),
    ],
)
async def test_a_manifest_of_any_type_returns_with_that_type(
    repository: Repository, media_type: str, document: Document
) -> None:
    body = encoded({"mediaType": media_type, **document})
    assert (await repository.put("latest", body, media_type)).status_code == 201
    answer = await repository.ask("GET", "manifests/latest")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, body, media_type)


async def test_a_body_that_does_not_tell_its_type_has_the_one_it_was_sent_with(repository: Repository) -> None:
    document = image()
    del document["mediaType"]
    for media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
        body = encoded(document | {"annotations": {"for": media_type}})
        assert (await repository.put("latest", body, f"{media_type}; charset=utf-8")).status_code == 201
        assert (await repository.ask("GET", "manifests/latest")).headers["content-type"] == media_type


async def test_a_body_sent_without_a_type_has_the_one_it_tells(repository: Repository) -> None:
    answer = await repository.ask("PUT", "manifests/latest", content=encoded(index()))
    assert answer.status_code == 201
    assert (await repository.ask("GET", "manifests/latest")).headers["content-type"] == OCI_INDEX


async def test_a_manifest_is_pushed_and_pulled_by_sha512(repository: Repository) -> None:
    body = encoded(image())
    digest = f"sha512:{hashlib.sha512(body).hexdigest()}"
    pushed = await repository.put(digest, body)
    assert (pushed.status_code, pushed.headers["docker-content-digest"]) == (201, digest)
    answer = await repository.ask("GET", f"manifests/{digest}")
    assert (answer.content, answer.headers["docker-content-digest"]) == (body, digest)


async def test_the_same_manifest_may_be_pushed_again_and_a_tag_moved(repository: Repository) -> None:
    first, second = image(), image()
    for document in (first, first, second, first):
        await repository.push("latest", document)
        assert (await repository.ask("GET", "manifests/latest")).json() == document


async def test_a_manifest_of_another_repository_is_unknown_here(repository: Repository) -> None:
    other = await repository.doors.repository(f"bob/{secrets.token_hex(6)}")
    digest = await other.push("latest", image())
    for reference in (digest, "latest"):
        check_refused(await repository.ask("GET", f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")


async def test_a_manifest_costs_one_question_to_the_database(repository: Repository) -> None:
    digest = await repository.push("latest", image())
    await repository.ask("GET", "manifests/latest")  # from now on its bytes are in memory
    points = repository.doors.database.points
    for reference in ("latest", digest):
        for method in ("GET", "HEAD"):
            before = points.count
            assert (await repository.ask(method, f"manifests/{reference}")).status_code == 200
            assert points.count - before == 1


# --- Accept and If-None-Match ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept", ["*/*", "application/*", OCI_MANIFEST, f"{OCI_INDEX}, {OCI_MANIFEST};q=0.1", f"text/html, {OCI_MANIFEST}"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_manifest_that_the_client_takes_is_sent(repository: Repository, method: str, accept: str) -> None:
    await repository.push("latest", image())
    answer = await repository.ask(method, "manifests/latest", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, OCI_MANIFEST)


@pytest.mark.parametrize("accept", [OCI_INDEX, DOCKER_MANIFEST, "text/html", f"{OCI_MANIFEST};q=0"])
@pytest.mark.parametrize("by", ["tag", "digest"])
async def test_a_manifest_that_the_client_does_not_take_is_unknown_and_named(
    repository: Repository, accept: str, by: str
) -> None:
    digest = await repository.push("latest", image())
    reference = "latest" if by == "tag" else digest
    answer = await repository.ask("GET", f"manifests/{reference}", headers={"Accept": accept})
    check_refused(answer, 404, "MANIFEST_UNKNOWN")
    assert OCI_MANIFEST in answer.json()["errors"][0]["message"]


async def test_several_accept_headers_are_one_list(repository: Repository) -> None:
    await repository.push("latest", image())
    headers = [("Authorization", repository.client.headers["authorization"])]
    headers += [("Accept", OCI_INDEX), ("Accept", OCI_MANIFEST)]
    client = repository.doors.client(headers=headers)
    assert (await client.get(f"/v2/{repository.name}/manifests/latest")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_manifest_that_the_client_has_is_not_sent_again(repository: Repository, method: str) -> None:
    digest = await repository.push("latest", image())
    for reference in ("latest", digest):
        answer = await repository.ask(method, f"manifests/{reference}", headers={"If-None-Match": f'"{digest}"'})
        assert (answer.status_code, answer.content) == (304, b"")
        assert (answer.headers["etag"], answer.headers["docker-content-digest"]) == (f'"{digest}"', digest)
    moved = await repository.push("latest", image())
    answer = await repository.ask(method, "manifests/latest", headers={"If-None-Match": f'"{digest}"'})
    assert (answer.status_code, answer.headers["docker-content-digest"]) == (200, moved)


# --- what manifests name ---------------------------------------------------------------------------------------------


async def test_an_index_may_name_what_is_not_here_and_other_indexes(repository: Repository) -> None:
    child = await repository.push("", image())
    size = len((await repository.ask("GET", f"manifests/{child}")).content)
    inner = index({"mediaType": OCI_MANIFEST, "digest": child, "size": size}, descriptor(b"nowhere", OCI_MANIFEST))
    outer = index(descriptor(encoded(inner), OCI_INDEX), descriptor(b"nowhere either", OCI_INDEX))
    await repository.push("outer", outer)  # before what it names
    await repository.push("", inner)
    assert (await repository.ask("GET", "manifests/outer")).json() == outer
    nested = outer["manifests"][0]["digest"]
    assert (await repository.ask("GET", f"manifests/{nested}")).json() == inner
    assert (await repository.ask("GET", f"manifests/{digest_of(b'nowhere')}")).status_code == 404


async def test_an_image_may_name_layers_that_are_not_here(repository: Repository) -> None:
    document = image()
    await repository.push("latest", document)
    absent = document["layers"][0]["digest"]
    check_refused(await repository.ask("GET", f"blobs/{absent}"), 404, "BLOB_UNKNOWN")


async def test_a_foreign_layer_keeps_its_addresses(repository: Repository) -> None:
    media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    layer = {**descriptor(b"windows", media_type), "urls": ["https://example.com/layer"]}
    await repository.push("latest", image(layers=[layer]))
    assert (await repository.ask("GET", "manifests/latest")).json()["layers"] == [layer]


async def test_a_data_field_is_kept_and_must_be_true(repository: Repository) -> None:
    right = {**descriptor(b"{}", CONFIG), "data": base64.b64encode(b"{}").decode()}
    await repository.push("latest", image(config=right))
    assert (await repository.ask("GET", "manifests/latest")).json()["config"] == right
    for data in (base64.b64encode(b"[]").decode(), base64.b64encode(b"{ }").decode(), "no base64"):
        answer = await repository.put("latest", encoded(image(config={**right, "data": data})))
        check_refused(answer, 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("media_type", [OCI_MANIFEST, OCI_INDEX])
async def test_a_subject_may_be_pushed_before_and_after_what_refers_to_it(
    repository: Repository, media_type: str, when: str
) -> None:
    target = image()
    subject = descriptor(encoded(target), OCI_MANIFEST)
    body = encoded((image if media_type == OCI_MANIFEST else index)(subject=subject))
    if when == "before":
        await repository.push("", target)
    answer = await repository.put(digest_of(body), body, media_type)
    assert (answer.status_code, answer.headers["oci-subject"]) == (201, subject["digest"])
    if when == "after":
        await repository.push("", target)
    listed = await repository.ask("GET", f"referrers/{subject['digest']}")
    assert [item["digest"] for item in listed.json()["manifests"]] == [digest_of(body)]


async def test_a_manifest_without_subject_is_answered_without_one(repository: Repository) -> None:
    assert "oci-subject" not in (await repository.put("latest", encoded(image()))).headers


# --- tags by parameter -----------------------------------------------------------------------------------------------


async def test_a_push_by_digest_names_tags_too(repository: Repository) -> None:
    body = encoded(image())
    tags = ["b", "a", "1.0"]
    answer = await repository.put(digest_of(body), body, params={"tag": tags})
    assert answer.status_code == 201
    assert answer.headers.get_list("oci-tag") == tags
    assert (await repository.ask("GET", "tags/list")).json()["tags"] == ["1.0", "a", "b"]
    for tag in tags:
        assert (await repository.ask("GET", f"manifests/{tag}")).content == body


async def test_a_push_by_tag_heeds_no_tag_parameter(repository: Repository) -> None:
    answer = await repository.put("latest", encoded(image()), params={"tag": "other"})
    assert (answer.status_code, answer.headers.get_list("oci-tag")) == (201, [])
    assert (await repository.ask("GET", "tags/list")).json()["tags"] == ["latest"]


@pytest.mark.parametrize(
    "tags",
    [["good", "-bad"], [""], ["x" * 129], [f"t{number}" for number in range(101)]],
    ids=["bad", "empty", "long", "many"],
)
async def test_a_push_with_a_parameter_that_is_no_tag_stores_nothing(repository: Repository, tags: list[str]) -> None:
    body = encoded(image())
    answer = await repository.put(digest_of(body), body, params={"tag": tags})
    check_refused(answer, 400, "TAG_INVALID")
    assert (await repository.ask("GET", f"manifests/{digest_of(body)}")).status_code == 404
    assert (await repository.ask("GET", "tags/list")).json()["tags"] == []


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        (image(), OCI_INDEX),
        (image(), DOCKER_MANIFEST),
        (index(), OCI_MANIFEST),
        (index(), DOCKER_LIST),
        (image(mediaType="application/vnd.example.other+json"), OCI_MANIFEST),
    ],
)
async def test_attack_1_a_body_of_another_type_than_its_header_is_refused(
    repository: Repository, document: Document, media_type: str
) -> None:
    check_refused(await repository.put("latest", encoded(document), media_type), 400, "MANIFEST_INVALID")
    assert (await repository.ask("GET", "manifests/latest")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"null", b"\xff", encoded(image())[:-1], encoded(image(schemaVersion=3)), encoded({})],
)
async def test_what_is_no_manifest_is_refused(repository: Repository, body: bytes) -> None:
    check_refused(await repository.put("latest", body), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ({"schemaVersion": 1, "name": "x"}, "application/vnd.docker.distribution.manifest.v1+json"),
        ({"schemaVersion": 1}, OCI_MANIFEST),
    ],
)
async def test_schema_1_is_refused_with_the_way_out(repository: Repository, body: Document, media_type: str) -> None:
    answer = await repository.put("latest", encoded(body), media_type)
    check_refused(answer, 400, "MANIFEST_INVALID")
    assert "skopeo copy" in answer.json()["errors"][0]["message"]


async def test_a_manifest_pushed_under_another_digest_is_refused(repository: Repository) -> None:
    check_refused(await repository.put(ABSENT, encoded(image())), 400, "DIGEST_INVALID")
    assert (await repository.ask("GET", f"manifests/{ABSENT}")).status_code == 404


@pytest.mark.parametrize("reference", ["-x", ".x", "a" * 129, "a b", "a+b"])
async def test_what_is_no_tag_is_refused(repository: Repository, reference: str) -> None:
    check_refused(await repository.put(reference, encoded(image())), 400, "TAG_INVALID")


async def test_a_manifest_of_four_mebibytes_is_taken_and_a_larger_one_not(repository: Repository) -> None:
    limit = 4 * 1024 * 1024
    room = limit - len(encoded(image(annotations={"filling": ""})))
    largest = encoded(image(annotations={"filling": "x" * room}))
    assert len(largest) == limit
    assert (await repository.put("latest", largest)).status_code == 201
    check_refused(await repository.put("latest", largest + b" "), 413, "SIZE_INVALID")
    assert (await repository.ask("GET", "manifests/latest")).content == largest


async def test_a_manifest_shorter_than_it_said_is_refused(repository: Repository) -> None:
    body = encoded(image())
    headers = {"Content-Type": OCI_MANIFEST, "Content-Length": str(len(body) + 1)}
    answer = await repository.ask("PUT", "manifests/latest", content=body, headers=headers)
    assert answer.status_code == 400
    assert (await repository.ask("GET", "manifests/latest")).status_code == 404


# --- deleting --------------------------------------------------------------------------------------------------------


async def test_a_manifest_deleted_by_digest_goes_with_all_its_tags(repository: Repository) -> None:
    document = image()
    digest = await repository.push("one", document)
    await repository.push("two", document)
    await repository.push("three", image())
    assert (await repository.ask("DELETE", f"manifests/{digest}")).status_code == 202
    for reference in (digest, "one", "two"):
        check_refused(await repository.ask("GET", f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
    assert (await repository.ask("GET", "tags/list")).json()["tags"] == ["three"]
    check_refused(await repository.ask("DELETE", f"manifests/{digest}"), 404, "MANIFEST_UNKNOWN")
    assert await repository.push("one", document) == digest
    assert (await repository.ask("GET", "manifests/one")).json() == document


async def test_an_index_and_its_children_are_deleted_each_by_itself(repository: Repository) -> None:
    child = image()
    child_digest = await repository.push("", child)
    parent = await repository.push("latest", index(descriptor(encoded(child), OCI_MANIFEST)))
    assert (await repository.ask("DELETE", f"manifests/{parent}")).status_code == 202
    assert (await repository.ask("GET", f"manifests/{child_digest}")).status_code == 200


async def test_layers_stay_when_a_manifest_is_deleted(repository: Repository) -> None:
    made = make_image()
    digest = await repository.push_image("latest", made)
    assert json.loads(made.manifest)["layers"][0]["mediaType"] == LAYER
    assert (await repository.ask("DELETE", f"manifests/{digest}")).status_code == 202
    assert (await repository.ask("HEAD", f"blobs/{digest_of(made.layers[0])}")).status_code == 200


async def test_attack_1_the_same_bytes_do_not_become_another_type(repository: Repository) -> None:
    """A tag that names them would mean something else."""
    document = {key: value for key, value in json.loads(make_image().manifest).items() if key != "mediaType"}
    body = json.dumps(document).encode()
    assert (await repository.put("latest", body, OCI_MANIFEST)).status_code == 201
    refused = await repository.put("other", body, DOCKER_MANIFEST)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "MANIFEST_INVALID")
    assert OCI_MANIFEST in refused.json()["errors"][0]["message"]
    assert (await repository.ask("GET", "manifests/latest")).headers["content-type"] == OCI_MANIFEST
    assert (await repository.ask("GET", "manifests/other")).status_code == 404
    assert (await repository.put("latest", body, OCI_MANIFEST)).status_code == 201
