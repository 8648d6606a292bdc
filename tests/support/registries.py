"""Small images as bytes, and pushing them over plain HTTP: what most tests begin with."""

import hashlib
import json
import secrets
from dataclasses import dataclass

import httpx

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


@dataclass(frozen=True)
class Image:
    """A config, layers, and the manifest that names them."""

    config: bytes
    layers: tuple[bytes, ...]
    manifest: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def make_image(*, layers: int = 2, layer_bytes: int = 1000, **more: object) -> Image:
    """An image whose layers are random bytes; `more` goes into the manifest."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "salt": secrets.token_hex(8)}).encode()
    contents = tuple(secrets.token_bytes(layer_bytes) for _ in range(layers))
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, CONFIG),
        "layers": [descriptor(content, LAYER) for content in contents],
        **more,
    }
    return Image(config, contents, json.dumps(manifest).encode())


def push_blob(client: httpx.Client, name: str, data: bytes, headers: dict[str, str]) -> str:
    """The blob is in the repository; its digest."""
    digest = digest_of(data)
    answer = client.post(
        f"/v2/{name}/blobs/uploads/",
        params={"digest": digest},
        content=data,
        headers={**headers, "Content-Type": "application/octet-stream"},
    )
    assert answer.status_code == 201, answer.text
    return digest


def push_image(client: httpx.Client, name: str, tag: str, image: Image, headers: dict[str, str]) -> str:
    """The image is in the repository under the tag; its digest."""
    for blob in (image.config, *image.layers):
        push_blob(client, name, blob, headers)
    answer = client.put(
        f"/v2/{name}/manifests/{tag}", content=image.manifest, headers={**headers, "Content-Type": OCI_MANIFEST}
    )
    assert answer.status_code == 201, answer.text
    return image.digest
