"""Attack rows 6, 7 and 11: what is kept once is not shown to everyone, and an upload belongs to who began it."""

import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from attacks.scenes import Hidden, bearer, told
from support.registries import (
    CONFIG,
    LAYER,
    OCI_INDEX,
    OCI_MANIFEST,
    descriptor,
    digest_of,
    make_image,
    push_blob,
    push_image,
)
from support.servers import PASSWORD, Server

UNKNOWN = digest_of(b"nobody has this")
BOBS = "bob/reader"
SCOPE = f"repository:{BOBS}:pull,push,delete"


@pytest.fixture
def bob(server: Server, hidden: Hidden) -> dict[str, str]:
    """All rights on a repository of bob's, which is there."""
    token = bearer(server, "bob", SCOPE)
    with server.client(name=None) as client:
        push_image(client, BOBS, "own", make_image(), token)
    return token


Ask = Callable[[httpx.Client, dict[str, str], str, str], httpx.Response]

ASKS: dict[str, Ask] = {
    "HEAD blob": lambda client, token, digest, _: client.head(f"/v2/{BOBS}/blobs/{digest}", headers=token),
    "GET blob": lambda client, token, digest, _: client.get(f"/v2/{BOBS}/blobs/{digest}", headers=token),
    "GET part of the blob": lambda client, token, digest, _: client.get(
        f"/v2/{BOBS}/blobs/{digest}", headers={**token, "Range": "bytes=0-0"}
    ),
    "GET blob if none matches": lambda client, token, digest, _: client.get(
        f"/v2/{BOBS}/blobs/{digest}", headers={**token, "If-None-Match": f'"{digest}"'}
    ),
    "HEAD manifest": lambda client, token, digest, _: client.head(f"/v2/{BOBS}/manifests/{digest}", headers=token),
    "GET manifest": lambda client, token, digest, _: client.get(f"/v2/{BOBS}/manifests/{digest}", headers=token),
    "GET referrers": lambda client, token, digest, _: client.get(f"/v2/{BOBS}/referrers/{digest}", headers=token),
    "DELETE blob": lambda client, token, digest, _: client.delete(f"/v2/{BOBS}/blobs/{digest}", headers=token),
    "DELETE manifest": lambda client, token, digest, _: client.delete(f"/v2/{BOBS}/manifests/{digest}", headers=token),
    "mount": lambda client, token, digest, _: client.post(
        f"/v2/{BOBS}/blobs/uploads/", params={"mount": digest}, headers=token
    ),
    "mount from": lambda client, token, digest, source: client.post(
        f"/v2/{BOBS}/blobs/uploads/", params={"mount": digest, "from": source}, headers=token
    ),
    "upload of nothing": lambda client, token, digest, _: client.post(
        f"/v2/{BOBS}/blobs/uploads/", params={"digest": digest}, headers=token
    ),
    "upload of something else": lambda client, token, digest, _: client.post(
        f"/v2/{BOBS}/blobs/uploads/", params={"digest": digest}, content=b"something else", headers=token
    ),
}


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("kind", ["layer", "manifest"])
def test_attack_6_what_is_in_a_hidden_repository_answers_as_what_is_nowhere(
    server: Server, hidden: Hidden, bob: dict[str, str], ask: str, kind: str
) -> None:
    """CVE-2024-39897: a digest can't be confirmed, read, mounted or claimed through a repository that has no link to it."""
    digest = hidden.blob if kind == "layer" else hidden.image.digest
    with server.client(name=None) as client:
        theirs = ASKS[ask](client, bob, digest, hidden.name)
        nowhere = ASKS[ask](client, bob, UNKNOWN, f"{hidden.name[:-1]}x")
        uploads = [answer.headers.get("docker-upload-uuid", "") for answer in (theirs, nowhere)]
        assert theirs.status_code not in {200, 201, 206, 304} or ask == "GET referrers"
        assert told(theirs, digest, hidden.name, uploads[0]) == told(
            nowhere, UNKNOWN, f"{hidden.name[:-1]}x", uploads[1]
        )
        assert client.head(f"/v2/{BOBS}/blobs/{hidden.blob}", headers=bob).status_code == 404


@pytest.mark.parametrize("with_pull", [False, True])
def test_attack_6_a_mount_from_a_hidden_repository_is_as_one_from_nowhere(
    server: Server, hidden: Hidden, bob: dict[str, str], *, with_pull: bool
) -> None:
    """Also with a token that was asked for both repositories."""
    nowhere = f"{hidden.name[:-1]}x"
    answers = []
    with server.client(name=None) as client:
        for source in (hidden.name, nowhere):
            token = bearer(server, "bob", SCOPE, f"repository:{source}:pull") if with_pull else bob
            params = {"mount": hidden.blob, "from": source}
            answer = client.post(f"/v2/{BOBS}/blobs/uploads/", params=params, headers=token)
            assert answer.status_code == (202 if with_pull else 401)
            answers.append(told(answer, source, answer.headers.get("docker-upload-uuid", "")))
    assert answers[0] == answers[1]


def test_attack_6_naming_a_hidden_blob_in_a_manifest_does_not_open_it(
    server: Server, hidden: Hidden, bob: dict[str, str]
) -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(hidden.image.config, CONFIG),
        "layers": [descriptor(hidden.image.layers[0], LAYER)],
    }
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(hidden.image.manifest, OCI_MANIFEST)],
    }
    with server.client(name=None) as client:
        for kind, body in ((OCI_MANIFEST, document), (OCI_INDEX, index)):
            answer = client.put(
                f"/v2/{BOBS}/manifests/claims", content=json.dumps(body), headers={**bob, "Content-Type": kind}
            )
            assert answer.status_code in {201, 400}
        for digest in (hidden.blob, digest_of(hidden.image.config)):
            assert client.get(f"/v2/{BOBS}/blobs/{digest}", headers=bob).status_code == 404
        assert client.get(f"/v2/{BOBS}/manifests/{hidden.image.digest}", headers=bob).status_code == 404


def test_attack_6_the_rest_api_reads_no_config_of_another_repository(
    server: Server, hidden: Hidden, bob: dict[str, str]
) -> None:
    """A manifest may name a config that its repository does not have; what that config says is not told."""
    secret = f"secret-{secrets.token_hex(8)}"
    history = [{"created_by": f"RUN use {secret}"}]
    config = json.dumps({"architecture": "amd64", "os": "linux", "author": secret, "history": history}).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, CONFIG),
        "layers": [],
        "annotations": {"salt": secrets.token_hex(8)},
    }
    body = json.dumps(document).encode()
    own = bearer(server, "alice", f"repository:{hidden.name}:pull,push")
    with server.client(name=None) as client:
        push_blob(client, hidden.name, config, own)
        for name, token in ((hidden.name, own), (BOBS, bob)):
            headers = {**token, "Content-Type": OCI_MANIFEST}
            assert client.put(f"/v2/{name}/manifests/told", content=body, headers=headers).status_code == 201
    for name, person in ((hidden.name, "alice"), (BOBS, "bob")):
        with server.client(name=person, secret=PASSWORD) as client:
            answer = client.get(f"/api/v0/repositories/{name}/tags/told")
            assert answer.status_code == 200
            assert (secret in answer.text) == (person == "alice")


def statuses(server: Server, path: str, token: dict[str, str], method: str = "HEAD") -> set[int]:
    """What many connections at once are told, so that every worker is asked."""

    def ask(_: int) -> int:
        with server.client(name=None) as client:
            return client.request(method, path, headers=token).status_code

    with ThreadPoolExecutor(8) as pool:
        return set(pool.map(ask, range(24)))


@pytest.mark.parametrize("kind", ["blobs", "manifests"])
def test_attack_7_what_was_deleted_in_one_repository_stays_away_when_another_touches_it(
    server: Server, kind: str
) -> None:
    """CVE-2026-35172, over all app workers: what they remember is bytes, never that a repository has them."""
    first, second = (f"admin/stale{secrets.token_hex(4)}" for _ in range(2))
    token = server.bearer(*(f"repository:{name}:pull,push,delete" for name in (first, second)))
    image = make_image()
    digest = digest_of(image.layers[0]) if kind == "blobs" else image.digest
    with server.client(name=None) as client:
        for name in (first, second):
            push_image(client, name, "latest", image, token)
            assert statuses(server, f"/v2/{name}/{kind}/{digest}", token, "GET") == {200}
        assert client.delete(f"/v2/{first}/{kind}/{digest}", headers=token).status_code == 202
        assert statuses(server, f"/v2/{first}/{kind}/{digest}", token) == {404}
        for method in ("HEAD", "GET"):
            assert client.request(method, f"/v2/{second}/{kind}/{digest}", headers=token).status_code == 200
        push_image(client, second, "again", image, token)
        assert statuses(server, f"/v2/{second}/{kind}/{digest}", token, "GET") == {200}
        for method in ("HEAD", "GET"):
            assert statuses(server, f"/v2/{first}/{kind}/{digest}", token, method) == {404}
        if kind == "manifests":
            assert statuses(server, f"/v2/{first}/manifests/latest", token, "GET") == {404}


@pytest.fixture
def begun(server: Server, hidden: Hidden) -> str:
    """The path of an upload that alice began and that stands at byte 5."""
    token = bearer(server, "alice", f"repository:{hidden.name}:pull,push")
    with server.client(name=None) as client:
        location = client.post(f"/v2/{hidden.name}/blobs/uploads/", headers=token).headers["location"]
        assert client.patch(location, content=b"hello", headers=token).status_code == 202
    return str(location)


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("where", ["the same repository", "another repository", "another one of the owner"])
def test_attack_11_an_upload_is_nobodys_but_who_began_it(
    server: Server, hidden: Hidden, begun: str, method: str, where: str
) -> None:
    """CVE-2026-32589. Even an administrator who may push there gets the answer of an upload that never was."""
    who, name = {
        "the same repository": ("admin", hidden.name),
        "another repository": ("bob", "bob/uploads"),
        "another one of the owner": ("alice", f"{hidden.name}-2"),
    }[where]
    token = bearer(server, who, f"repository:{name}:pull,push,delete")
    upload = begun.rpartition("/")[2]
    never = f"{upload[:-8]}00000000"
    content = b" world"
    params = {"digest": digest_of(b"hello world")} if method == "PUT" else {}
    with server.client(name=None) as client:
        push_blob(client, name, b"so that it is there", token)
        answers = [
            client.request(
                method,
                f"/v2/{name}/blobs/uploads/{identifier}",
                params=params,
                content=None if method in {"GET", "DELETE"} else content,
                headers=token,
            )
            for identifier in (upload, never)
        ]
        assert (answers[0].status_code, answers[0].json()["errors"][0]["code"]) == (404, "BLOB_UPLOAD_UNKNOWN")
        assert told(answers[0], upload) == told(answers[1], never)
        own = bearer(server, "alice", f"repository:{hidden.name}:pull,push")
        assert client.get(begun, headers=own).headers["range"] == "0-4"
        done = client.put(begun, params={"digest": digest_of(b"hello world")}, content=content, headers=own)
        assert done.status_code == 201
