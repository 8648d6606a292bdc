"""Artifacts of all kinds, made by hand where a test can't have the tool: each comes back byte for byte, with its type.

Sources: OCI image spec 1.1; BuildKit, attestation-storage.md and its registry cache; Helm 3; cosign, SIGNATURE_SPEC.md; Notary
project, signature-specification.md; the Wasm working group's artifact layout; Docker's plugin manifest.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from support.registries import (
    CONFIG,
    DOCKER_MANIFEST,
    LAYER,
    OCI_INDEX,
    OCI_MANIFEST,
    descriptor,
    digest_of,
    make_image,
    push_blob,
    push_image,
)
from support.servers import Server, start_server

EMPTY = "application/vnd.oci.empty.v1+json"
IN_TOTO = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Part:
    """Something that is pushed: a manifest when it has a media type of one, and what must be there first."""

    media_type: str
    body: bytes
    blobs: tuple[bytes, ...] = ()
    children: tuple["Part", ...] = ()
    tag: str = "v1"
    listed: dict[str, str] = field(default_factory=dict)  # what the list of referrers says of it

    @property
    def digest(self) -> str:
        return digest_of(self.body)

    def described(self, **more: object) -> dict[str, object]:
        return {**descriptor(self.body, self.media_type), **more}


def image_of(config: tuple[bytes, str], *layers: tuple[bytes, str], kind: str = OCI_MANIFEST, **more: object) -> Part:
    """A manifest with this config and these layers, each a content and its media type."""
    body = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": descriptor(*config),
        "layers": [descriptor(*layer) for layer in layers],
        **more,
    }
    return Part(kind, json.dumps(body, indent=1).encode(), (config[0], *(layer[0] for layer in layers)))


def index_of(*entries: dict[str, object], children: tuple[Part, ...] = (), **more: object) -> Part:
    body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries), **more}
    return Part(OCI_INDEX, json.dumps(body, indent=1).encode(), children=children)


def config() -> tuple[bytes, str]:
    return json.dumps({"architecture": "amd64", "os": "linux", "salt": os.urandom(8).hex()}).encode(), CONFIG


def random_layer(media_type: str = LAYER, size: int = 4000) -> tuple[bytes, str]:
    return os.urandom(size), media_type


# --- artifacts -------------------------------------------------------------------------------------------------------


def index_with_attestation() -> Part:
    """What buildx pushes: an image, and beside it a manifest for no platform that tells where the image is from."""
    image = image_of(config(), random_layer())
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "subject": [{"name": image.digest}]}).encode()
    attestation = image_of(config(), (statement, IN_TOTO))
    return index_of(
        image.described(platform={"architecture": "amd64", "os": "linux"}),
        attestation.described(
            platform={"architecture": "unknown", "os": "unknown"},
            annotations={
                "vnd.docker.reference.digest": image.digest,
                "vnd.docker.reference.type": "attestation-manifest",
            },
        ),
        children=(image, attestation),
    )


def cache_as_image() -> Part:
    """BuildKit's registry cache, `image-manifest=true`."""
    cache = json.dumps({"layers": [{"blob": digest_of(b"x"), "parent": -1}], "records": [{"digest": "y"}]}).encode()
    return image_of((cache, "application/vnd.buildkit.cacheconfig.v0"), random_layer(), random_layer())


def cache_as_index() -> Part:
    """BuildKit's registry cache, `image-manifest=false`: an index whose children are no manifests but blobs."""
    layers = [random_layer(), random_layer()]
    cache = (json.dumps({"layers": [], "records": []}).encode(), "application/vnd.buildkit.cacheconfig.v0")
    made = index_of(*(descriptor(*item) for item in (*layers, cache)))
    return Part(made.media_type, made.body, tuple(content for content, _ in (*layers, cache)))


def docker_plugin() -> Part:
    settings = json.dumps({"description": "a volume plugin", "interface": {"types": ["docker.volumedriver/1.0"]}})
    layer = random_layer("application/vnd.docker.image.rootfs.diff.tar.gzip")
    return image_of((settings.encode(), "application/vnd.docker.plugin.v1+json"), layer, kind=DOCKER_MANIFEST)


def helm_chart() -> Part:
    chart = json.dumps({"name": "shop", "version": "1.2.3", "apiVersion": "v2"}).encode()
    return image_of(
        (chart, "application/vnd.cncf.helm.config.v1+json"),
        random_layer("application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
        random_layer("application/vnd.cncf.helm.chart.provenance.v1.prov"),
        annotations={"org.opencontainers.image.title": "shop"},
    )


def cosign_by_tag() -> Part:
    image = image_of(config(), random_layer())
    payload = json.dumps({"critical": {"image": {"docker-manifest-digest": image.digest}}}).encode()
    signature = base64.b64encode(os.urandom(70)).decode()
    entry = {
        **descriptor(payload, "application/vnd.dev.cosign.simplesigning.v1+json"),
        "annotations": {"dev.cosignproject.cosign/signature": signature},
    }
    settings = config()
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(*settings), "layers": [entry]}
    tag = image.digest.replace(":", "-") + ".sig"
    return Part(OCI_MANIFEST, json.dumps(body).encode(), (settings[0], payload), children=(image,), tag=tag)


def referrer_of(image: Part, artifact_type: str, *layers: tuple[bytes, str], **annotations: str) -> Part:
    made = image_of(
        (b"{}", EMPTY), *layers, artifactType=artifact_type, subject=image.described(), annotations=annotations
    )
    listed = {"artifactType": artifact_type}
    return Part(made.media_type, made.body, made.blobs, (image,), listed=listed)


def cosign_by_subject() -> Part:
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    return referrer_of(image_of(config(), random_layer()), kind, (b'{"mediaType": "bundle"}', kind))


def notation_signature() -> Part:
    envelope = (json.dumps({"payload": "p", "signature": os.urandom(8).hex()}).encode(), "application/jose+json")
    chain = {"io.cncf.notary.x509chain.thumbprint#S256": '["ab"]'}
    return referrer_of(image_of(config(), random_layer()), "application/vnd.cncf.notary.signature", envelope, **chain)


def windows_image() -> Part:
    """Docker's foreign layer: it is fetched from its URLs, and is not here."""
    settings, own = config(), random_layer("application/vnd.docker.image.rootfs.diff.tar.gzip")
    foreign = {
        **descriptor(b"never pushed", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        "urls": ["https://example.com/base.tar.gz", "https://example.org/base.tar.gz"],
    }
    body = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": descriptor(settings[0], "application/vnd.docker.container.image.v1+json"),
        "layers": [foreign, descriptor(*own)],
    }
    return Part(DOCKER_MANIFEST, json.dumps(body, indent=3).encode(), (settings[0], own[0]))


def layers_not_distributed() -> Part:
    """Layers that may be elsewhere, in each form of the image spec: here they are pushed all the same."""
    forms = ("tar", "tar+gzip", "tar+zstd")
    return image_of(
        config(), *(random_layer(f"application/vnd.oci.image.layer.nondistributable.v1.{form}") for form in forms)
    )


def layers_of_zstd() -> Part:
    magic = bytes.fromhex("28b52ffd")
    return image_of(config(), (magic + os.urandom(2000), "application/vnd.oci.image.layer.v1.tar+zstd"))


def wasm() -> Part:
    settings = json.dumps({"architecture": "wasm", "os": "wasip1", "layerDigests": []}).encode()
    return image_of((settings, "application/vnd.wasm.config.v0+json"), (b"\0asm" + os.urandom(500), "application/wasm"))


def nested_index() -> Part:
    image = image_of(config(), random_layer())
    inner = index_of(image.described(), children=(image,))
    return index_of(inner.described(), image.described(), children=(inner,), artifactType="application/vnd.example.set")


def old_artifact_manifest() -> Part:
    """The manifest that a candidate of OCI 1.1 had, and later dropped; some still push it."""
    kind, blob = "application/vnd.oci.artifact.manifest.v1+json", random_layer("application/x-anything")
    body = {"mediaType": kind, "artifactType": "application/vnd.example.old", "blobs": [descriptor(*blob)]}
    return Part(kind, json.dumps(body).encode(), (blob[0],))


def data_in_the_descriptor() -> Part:
    image = image_of((b"{}", EMPTY), (b"{}", EMPTY), artifactType="application/vnd.example.nothing")
    body = json.loads(image.body)
    body["config"]["data"] = body["layers"][0]["data"] = "e30="
    return Part(OCI_MANIFEST, json.dumps(body).encode(), (b"{}",))


MAKERS = (
    index_with_attestation,
    cache_as_image,
    cache_as_index,
    docker_plugin,
    helm_chart,
    cosign_by_tag,
    cosign_by_subject,
    notation_signature,
    windows_image,
    layers_not_distributed,
    layers_of_zstd,
    wasm,
    nested_index,
    old_artifact_manifest,
    data_in_the_descriptor,
)


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def artifact(request: pytest.FixtureRequest) -> Part:
    made: Part = request.param()
    return made


# --- tests -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repository:
    """A repository, with the right to push and pull."""

    name: str
    client: httpx.Client
    headers: dict[str, str]

    def push(self, part: Part, *, by_tag: bool = True) -> None:
        """Blobs, children, then the manifest itself."""
        for blob in part.blobs:
            push_blob(self.client, self.name, blob, self.headers)
        for child in part.children:
            self.push(child, by_tag=False)
        answer = self.client.put(
            self._path(part.tag if by_tag else part.digest),
            content=part.body,
            headers={**self.headers, "Content-Type": part.media_type},
        )
        assert answer.status_code == 201, answer.text
        assert answer.headers["Docker-Content-Digest"] == part.digest

    def check(self, part: Part, reference: str) -> None:
        """The manifest, and all it needs, come back byte for byte."""
        for method in ("GET", "HEAD"):
            answer = self.client.request(
                method, self._path(reference), headers={**self.headers, "Accept": part.media_type}
            )
            assert answer.status_code == 200
            assert answer.headers["Content-Type"] == part.media_type
            assert answer.headers["Docker-Content-Digest"] == part.digest
            assert answer.headers["Content-Length"] == str(len(part.body))
            assert answer.content == (part.body if method == "GET" else b"")
        for blob in part.blobs:
            answer = self.client.get(f"/v2/{self.name}/blobs/{digest_of(blob)}", headers=self.headers)
            assert (answer.status_code, answer.content) == (200, blob)
        for child in part.children:
            self.check(child, child.digest)

    def referrers(self, digest: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.client.get(
            f"/v2/{self.name}/referrers/{digest}", headers=self.headers
        ).json()["manifests"]
        return found

    def _path(self, reference: str) -> str:
        return f"/v2/{self.name}/manifests/{reference}"


def repository_of(server: Server, client: httpx.Client, name: str) -> Repository:
    return Repository(name, client, server.bearer(f"repository:{name}:pull,push"))


@pytest.fixture
def repository(nginx_server: Server, request: pytest.FixtureRequest) -> Iterator[Repository]:
    name = "admin/artifacts-" + digest_of(request.node.name.encode())[7:17]
    with nginx_server.client(name=None) as client:
        yield repository_of(nginx_server, client, name)


def test_an_artifact_comes_back_byte_for_byte_with_its_type(repository: Repository, artifact: Part) -> None:
    repository.push(artifact)
    repository.check(artifact, artifact.tag)
    repository.check(artifact, artifact.digest)
    if artifact.listed:
        (listed,) = repository.referrers(artifact.children[0].digest)
        assert listed["digest"] == artifact.digest
        assert artifact.listed.items() <= listed.items()


def test_what_artifacts_name_outlives_the_collector() -> None:
    # This server's collector waits for nobody, and takes manifests without a name, too.
    variables = {"LADING_GARBAGE__GRACE_HOURS": "0", "LADING_GARBAGE__UNTAGGED_MANIFESTS": "true"}
    with start_server("nginx", variables) as server, server.client(name=None) as client:
        kept = [(repository_of(server, client, f"admin/{maker.__name__}"), maker()) for maker in MAKERS]
        for repository, artifact in kept:
            repository.push(artifact)
        loose = push_blob(client, repository.name, os.urandom(3000), repository.headers)
        collect(server)
        gone = client.get(f"/v2/{repository.name}/blobs/{loose}", headers=repository.headers)
        assert gone.status_code == 404
        for repository, artifact in kept:
            repository.check(artifact, artifact.tag)


def collect(server: Server) -> None:
    lading = str(Path(sys.executable).with_name("lading"))
    command = [lading, "gc", "--now", "--data", str(server.data)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_foreign_layer_keeps_its_urls_and_is_not_here(repository: Repository) -> None:
    artifact = windows_image()
    repository.push(artifact)
    got = repository.client.get(f"/v2/{repository.name}/manifests/v1", headers=repository.headers)
    foreign = got.json()["layers"][0]
    assert foreign["urls"] == ["https://example.com/base.tar.gz", "https://example.org/base.tar.gz"]
    missing = repository.client.get(f"/v2/{repository.name}/blobs/{foreign['digest']}", headers=repository.headers)
    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")


def test_a_signature_may_be_there_before_what_it_signs(repository: Repository) -> None:
    artifact = cosign_by_subject()
    signed = artifact.children[0]
    repository.push(Part(artifact.media_type, artifact.body, artifact.blobs))
    assert [item["digest"] for item in repository.referrers(signed.digest)] == [artifact.digest]
    repository.push(signed, by_tag=False)
    repository.check(signed, signed.digest)


def test_schema_1_is_refused_with_what_to_do(repository: Repository) -> None:
    push_image(repository.client, repository.name, "v1", make_image(), repository.headers)
    body = {"schemaVersion": 1, "name": repository.name, "tag": "old", "fsLayers": [], "history": []}
    for kind in ("v1+json", "v1+prettyjws"):
        media_type = f"application/vnd.docker.distribution.manifest.{kind}"
        answer = repository.client.put(
            f"/v2/{repository.name}/manifests/old",
            content=json.dumps(body),
            headers={**repository.headers, "Content-Type": media_type},
        )
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "MANIFEST_INVALID")
        assert "skopeo copy" in answer.json()["errors"][0]["message"]
