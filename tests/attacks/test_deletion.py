"""Attack row 8: where nothing may be deleted, nothing is, by any door."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from support.registries import OCI_MANIFEST, Image, digest_of, make_image, push_blob, push_image
from support.servers import Server, start_server
from support.waiting import wait_for

NAME = "admin/kept"
SCOPE = f"repository:{NAME}:pull,push,delete"
SWITCHES = {"deletes are off": {"deletesEnabled": False}, "it is read-only": {"readOnlyRegistry": True}}
USUAL = {"deletesEnabled": True, "readOnlyRegistry": False}


@dataclass(frozen=True)
class Kept:
    """A server on which nothing may be deleted, and what was there before."""

    server: Server
    image: Image
    blob: str  # that no manifest needs
    upload: str  # path of one that stands at byte 5


@pytest.fixture(scope="module", params=["nginx", "none"])
def begun(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Image, str, str]]:
    """A server of our own, because its settings are changed; with one worker, or some requests would meet the old ones."""
    with start_server(request.param) as server, server.client(name=None) as client:
        token, image = server.bearer(SCOPE), make_image()
        push_image(client, NAME, "latest", image, token)
        blob = push_blob(client, NAME, secrets.token_bytes(100), token)
        upload = client.post(f"/v2/{NAME}/blobs/uploads/", headers=token).headers["location"]
        client.patch(upload, content=b"hello", headers=token)
        yield server, image, blob, upload


@pytest.fixture(params=SWITCHES)
def kept(request: pytest.FixtureRequest, begun: tuple[Server, Image, str, str]) -> Iterator[Kept]:
    server, image, blob, upload = begun
    with server.client() as admin:

        def switch(change: dict[str, bool]) -> None:
            assert admin.post("/api/v0/meta/settings", json={**USUAL, **change}).status_code == 202

        switch(SWITCHES[request.param])
        wait_for(lambda: is_answered(server, 405))
        yield Kept(server, image, blob, upload)
        switch({})
        wait_for(lambda: is_answered(server, 404))  # or the next test could not tell one setting from the other


def is_answered(server: Server, status: int) -> bool:
    """The worker has heard of the setting. Asked to delete what is not there."""
    with server.client(name=None) as client:
        path = f"/v2/{NAME}/manifests/sha256:{'0' * 64}"
        return client.delete(path, headers=server.bearer(SCOPE)).status_code == status


def check_all_is_there(kept: Kept) -> None:
    token = kept.server.bearer(SCOPE)
    with kept.server.client(name=None) as client:
        assert client.get(f"/v2/{NAME}/manifests/latest", headers=token).content == kept.image.manifest
        assert client.get(f"/v2/{NAME}/tags/list", headers=token).json()["tags"] == ["latest"]
        for digest in (kept.blob, *map(digest_of, kept.image.layers)):
            assert client.head(f"/v2/{NAME}/blobs/{digest}", headers=token).status_code == 200
        assert client.get(kept.upload, headers=token).headers["range"] == "0-4"


def targets(kept: Kept) -> dict[str, str]:
    return {
        "a tag": f"/v2/{NAME}/manifests/latest",
        "a tag that is not there": f"/v2/{NAME}/manifests/nothing",
        "a manifest": f"/v2/{NAME}/manifests/{kept.image.digest}",
        "a manifest that is not there": f"/v2/{NAME}/manifests/sha256:{'0' * 64}",
        "a blob": f"/v2/{NAME}/blobs/{kept.blob}",
        "a layer": f"/v2/{NAME}/blobs/{digest_of(kept.image.layers[0])}",
        "an upload": kept.upload,
        "an upload that is not there": f"{kept.upload[:-8]}00000000",
        "a tag, by the REST API": f"/api/v0/repositories/{NAME}/tags/latest",
        "a manifest, by the REST API": f"/api/v0/repositories/{NAME}/manifests/{kept.image.digest}",
        "the repository, by the REST API": f"/api/v0/repositories/{NAME}",
    }


def test_attack_8_every_delete_is_refused_and_nothing_changes(kept: Kept) -> None:
    """CVE-2026-41888."""
    for what, path in targets(kept).items():
        headers = kept.server.bearer(SCOPE) if path.startswith("/v2/") else {}
        with kept.server.client(name=None if headers else "admin") as client:
            answer = client.delete(path, headers=headers)
        assert answer.status_code == 405, what
        assert answer.json()["errors"][0]["code"] in {"UNSUPPORTED", "NOT_ALLOWED"}, what
    check_all_is_there(kept)


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_attack_8_another_method_does_not_become_a_delete(kept: Kept, header: str) -> None:
    for what, path in targets(kept).items():
        token = kept.server.bearer(SCOPE) if path.startswith("/v2/") else {}
        with kept.server.client(name=None if token else "admin") as client:
            for method in ("POST", "GET"):
                answer = client.request(method, path, headers={**token, header: "DELETE"}, params={"_method": "DELETE"})
                assert answer.status_code in {200, 204, 400, 404, 405, 415}, what
    check_all_is_there(kept)


@pytest.mark.parametrize("kept", ["it is read-only"], indirect=True)
def test_attack_8_a_read_only_registry_takes_nothing(kept: Kept) -> None:
    token, image = kept.server.bearer(SCOPE), make_image()
    requests: dict[str, tuple[str, dict[str, object]]] = {
        f"/v2/{NAME}/manifests/new": ("PUT", {"content": image.manifest, "headers": {"Content-Type": OCI_MANIFEST}}),
        f"/v2/{NAME}/manifests/latest": ("PUT", {"content": image.manifest, "headers": {"Content-Type": OCI_MANIFEST}}),
        f"/v2/{NAME}/blobs/uploads/": ("POST", {}),
        f"/v2/{NAME}/blobs/uploads/?mount={kept.blob}": ("POST", {}),
        kept.upload: ("PATCH", {"content": b" world"}),
        f"{kept.upload}?digest={digest_of(b'hello')}": ("PUT", {}),
    }
    with kept.server.client(name=None) as client:
        client.headers.update(token)
        for path, (method, more) in requests.items():
            answer: httpx.Response = client.request(method, path, **more)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "UNSUPPORTED"), path
    check_all_is_there(kept)
