"""Attack rows 1 and 3: a manifest is of one type and stays so; one that is too large is refused before it is held."""

import contextlib
import json

import pytest

from attacks.scenes import peak_bytes
from support.raw import Answer, Connection
from support.registries import (
    CONFIG,
    DOCKER_MANIFEST,
    LAYER,
    OCI_INDEX,
    OCI_MANIFEST,
    descriptor,
    digest_of,
    make_image,
    push_image,
)
from support.servers import Server

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
NAME = "admin/typed"
SCOPE = f"repository:{NAME}:pull,push"
GIBIBYTE = 1024**3
MEBIBYTE = 1024**2

CONFIG_AND_LAYERS = {"config": descriptor(b"{}", CONFIG), "layers": [descriptor(b"layer", LAYER)]}
CHILDREN = {"manifests": [descriptor(b"child", OCI_MANIFEST)]}


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        (CONFIG_AND_LAYERS | CHILDREN, OCI_MANIFEST),
        (CONFIG_AND_LAYERS | CHILDREN, OCI_INDEX),
        (CONFIG_AND_LAYERS | CHILDREN, DOCKER_MANIFEST),
        (CONFIG_AND_LAYERS | CHILDREN, DOCKER_LIST),
        (CONFIG_AND_LAYERS | CHILDREN, "application/vnd.somebody.elses+json"),
        (CONFIG_AND_LAYERS | {"manifests": []}, OCI_MANIFEST),
        (CHILDREN | {"layers": []}, OCI_INDEX),
        (CONFIG_AND_LAYERS | {"mediaType": OCI_MANIFEST}, DOCKER_MANIFEST),
        (CONFIG_AND_LAYERS | {"mediaType": DOCKER_MANIFEST}, OCI_MANIFEST),
        (CHILDREN | {"mediaType": OCI_INDEX}, DOCKER_LIST),
        (CONFIG_AND_LAYERS | {"mediaType": OCI_MANIFEST}, OCI_INDEX),
        (CONFIG_AND_LAYERS, OCI_INDEX),
        (CHILDREN, OCI_MANIFEST),
    ],
)
def test_attack_1_a_manifest_of_two_types_is_not_kept(
    server: Server, document: dict[str, object], content_type: str
) -> None:
    body, token = json.dumps({"schemaVersion": 2, **document}).encode(), server.bearer(SCOPE)
    with server.client(name=None) as client:
        answer = client.put(
            f"/v2/{NAME}/manifests/two-types", content=body, headers={**token, "Content-Type": content_type}
        )
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "MANIFEST_INVALID")
        for reference in ("two-types", digest_of(body)):
            assert client.get(f"/v2/{NAME}/manifests/{reference}", headers=token).status_code == 404


@pytest.mark.parametrize("asked", [None, "*/*", OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST])
def test_attack_1_a_manifest_is_never_shown_as_another_type(server: Server, asked: str | None) -> None:
    """The same bytes, which name no type, in two repositories: each shows the type they were put with there, or nothing."""
    body = json.dumps({"schemaVersion": 2, **CONFIG_AND_LAYERS, "annotations": {"asked": str(asked)}}).encode()
    for kind, name in ((OCI_MANIFEST, "admin/as-oci"), (DOCKER_MANIFEST, "admin/as-docker")):
        token = server.bearer(f"repository:{name}:pull,push")
        with server.client(name=None) as client:
            path = f"/v2/{name}/manifests"
            put = client.put(f"{path}/latest", content=body, headers={**token, "Content-Type": kind})
            assert put.status_code == 201
            accept = token | ({} if asked is None else {"Accept": asked})
            for reference in ("latest", digest_of(body)):
                for answer in (
                    client.get(f"{path}/{reference}", headers=accept),
                    client.head(f"{path}/{reference}", headers=accept),
                ):
                    if asked in {None, "*/*", kind}:
                        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
                    else:
                        assert answer.status_code == 404


def send_without_end(connection: Connection, server: Server, most: int) -> int:
    """Sends chunks until the server takes no more, or `most` bytes are sent; how many were. Nothing is spooled meanwhile."""
    chunk, sent = b"10000\r\n" + b" " * 65536 + b"\r\n", 0
    with contextlib.suppress(OSError):
        while sent < most:
            connection.socket.sendall(chunk)
            sent += 65536
            if sent % (64 * MEBIBYTE) == 0:
                assert spooled(server) == 0
    return sent


def spooled(server: Server) -> int:
    total = 0
    for path in (server.data / "spool").iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def answer_of(connection: Connection) -> Answer | None:
    """None when the server closed the connection before we could read."""
    with contextlib.suppress(OSError):
        return connection.read()
    return None


def test_attack_3_a_chunked_manifest_of_a_gibibyte_is_refused_and_never_held(server: Server) -> None:
    token, before = server.bearer(SCOPE), peak_bytes(server)
    with Connection(server) as connection:
        headers = {**token, "Content-Type": OCI_MANIFEST, "Transfer-Encoding": "chunked"}
        connection.send_head("PUT", f"/v2/{NAME}/manifests/huge", headers)
        sent = send_without_end(connection, server, GIBIBYTE)
        answer = answer_of(connection)
    assert answer is None or answer.status == 413
    assert answer is not None or sent < GIBIBYTE, "all was taken, and nothing was said"
    assert spooled(server) == 0
    assert peak_bytes(server) - before < 96 * MEBIBYTE
    with server.client(name=None) as client:
        assert client.get(f"/v2/{NAME}/manifests/huge", headers=token).status_code == 404


@pytest.mark.parametrize("reference", ["huge", "sha256:" + "0" * 64])
def test_attack_3_a_manifest_that_says_how_huge_it_is_is_refused_at_once(server: Server, reference: str) -> None:
    token = server.bearer(SCOPE)
    with Connection(server) as connection:
        headers = {**token, "Content-Type": OCI_MANIFEST, "Content-Length": str(GIBIBYTE)}
        connection.send_head("PUT", f"/v2/{NAME}/manifests/{reference}", headers)
        answer = connection.read()
    assert (answer.status, answer.error_code) == (413, "SIZE_INVALID")


def test_attack_3_a_stranger_is_refused_before_his_manifest_is_read(server: Server) -> None:
    with Connection(server) as connection:
        headers = {"Content-Type": OCI_MANIFEST, "Content-Length": str(GIBIBYTE)}
        connection.send_head("PUT", f"/v2/{NAME}/manifests/huge", headers)
        assert connection.read().status in {401, 413}


@pytest.mark.parametrize("length", [{"Transfer-Encoding": "chunked"}, {"Content-Length": "100000"}], ids=str)
@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", f"/v2/{NAME}/manifests/endless"), ("POST", "/api/v0/repositories/admin"), ("POST", "/enzi/v0/accounts")],
)
def test_attack_3_a_stranger_is_answered_while_his_body_is_still_to_come(
    server: Server, method: str, path: str, length: dict[str, str]
) -> None:
    """None of it is waited for, so strangers can fill neither memory nor disk."""
    with Connection(server) as connection:
        connection.send_head(method, path, {"Content-Type": OCI_MANIFEST, **length})
        connection.socket.sendall(b"5\r\n[1, 2\r\n")
        assert connection.read().status == 401


@pytest.mark.parametrize(("size", "status"), [(4 * MEBIBYTE, 201), (4 * MEBIBYTE + 1, 413)])
def test_attack_3_a_manifest_of_four_mebibytes_is_taken_and_one_byte_more_is_not(
    server: Server, size: int, status: int
) -> None:
    token = server.bearer(SCOPE)
    image = make_image()
    with server.client(name=None) as client:
        push_image(client, NAME, "usual", image, token)
        body = image.manifest + b" " * (size - len(image.manifest))
        headers = {**token, "Content-Type": OCI_MANIFEST}
        for content in (body, (body[at : at + MEBIBYTE] for at in range(0, size, MEBIBYTE))):
            answer = client.put(f"/v2/{NAME}/manifests/large", content=content, headers=headers)
            assert answer.status_code == status
