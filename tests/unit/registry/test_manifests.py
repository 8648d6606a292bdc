"""Manifests: what is taken, what is refused and why. The first table is CVE-2021-41190."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.core.digests import Digest
from lading.core.errors import LadingError
from lading.core.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from lading.registry.errors import ManifestInvalidError
from lading.registry.manifests import parse_manifest


def described(
    content: bytes = b"{}", /, media_type: str = "application/vnd.oci.image.config.v1+json", **more: Any
) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content), **more}


def image(**more: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(),
        "layers": [described(b"layer")],
        **more,
    }


def index(**more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described(b"child", OCI_MANIFEST)], **more}


def parsed(document: Any, content_type: str) -> Any:
    return parse_manifest(json.dumps(document).encode(), content_type)


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        (image(manifests=[]), OCI_MANIFEST),
        (index(layers=[]), OCI_INDEX),
        (index(config=described()), OCI_INDEX),
        (image(), OCI_INDEX),
        (image(), DOCKER_MANIFEST),
        (index(), OCI_MANIFEST),
        (index(mediaType=None), DOCKER_MANIFEST),
        ({**image(), "mediaType": DOCKER_LIST}, OCI_MANIFEST),
    ],
)
def test_a_document_of_two_types_is_refused(document: dict[str, Any], content_type: str) -> None:
    with pytest.raises(ManifestInvalidError):
        parsed({key: value for key, value in document.items() if value is not None}, content_type)


@pytest.mark.parametrize(
    "document",
    [
        [], "text", 1, None, {}, image(schemaVersion=1), image(schemaVersion=3), image(layers="x"), image(config=[]),
        image(layers=[{"digest": "sha256:x"}]), image(layers=[described(size=-1)]), image(layers=[described(size=2**60)]),
        image(layers=[described(digest="sha256:../../x")]), image(config=described(media_type="no type")),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(document: Any) -> None:
    with pytest.raises(LadingError):
        parsed(document, OCI_MANIFEST)


def test_schema_1_is_refused_with_the_way_out() -> None:
    with pytest.raises(ManifestInvalidError, match="skopeo copy"):
        parsed({"schemaVersion": 1, "fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+prettyjws")


@pytest.mark.parametrize(
    "media_type", ["text/html", "application/json", "application/x\r\n", "a", "application/x+json\n"]
)
def test_a_content_type_that_is_no_manifests_is_refused(media_type: str) -> None:
    with pytest.raises(ManifestInvalidError):
        parse_manifest(b'{"schemaVersion":2}', media_type)


def test_an_artifact_shows_its_own_type_and_an_image_its_configs() -> None:
    assert parsed(image(artifactType="application/vnd.sbom"), OCI_MANIFEST).artifact_type == "application/vnd.sbom"
    assert parsed(image(), OCI_MANIFEST).artifact_type == "application/vnd.oci.image.config.v1+json"


def test_foreign_layers_need_not_be_here() -> None:
    foreign = described(b"windows", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls=["https://x"])
    content = parsed(image(layers=[foreign]), OCI_MANIFEST)
    assert (len(content.layers), len(content.foreign)) == (0, 1)


def test_a_data_field_must_hold_what_its_descriptor_says() -> None:
    right = described(b"{}", data=base64.b64encode(b"{}").decode())
    assert parsed(image(config=right), OCI_MANIFEST).config is not None
    for wrong in (base64.b64encode(b"{ }").decode(), "not base64!", base64.b64encode(b"[]").decode()):
        with pytest.raises(ManifestInvalidError):
            parsed(image(config=described(b"{}", data=wrong)), OCI_MANIFEST)


@given(st.binary(max_size=300), st.sampled_from([OCI_MANIFEST, OCI_INDEX, ""]))
def test_any_bytes_are_a_manifest_or_a_clear_error(body: bytes, content_type: str) -> None:
    try:
        parse_manifest(body, content_type)
    except LadingError as error:
        assert error.message
