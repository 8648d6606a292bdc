"""Manifests as values: parsed strictly, never changed. Pure.

Rules: the body is one JSON object; what it says of its type agrees with the Content-Type; an index names manifests and no
layers, an image names layers and no manifests (CVE-2021-41190); every descriptor has a type, a size and a digest; a `data`
field holds what its descriptor says. Unknown fields are kept, since the bytes are.
Sources: OCI image spec 1.1, manifest.md, image-index.md, descriptor.md; Docker image manifest v2, schema 2.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from lading.core.digests import Digest, DigestInvalidError
from lading.core.media_types import IMAGE_MANIFESTS, INDEXES, SCHEMA1, is_foreign
from lading.registry.errors import ManifestInvalidError

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.ASCII)
_SIZE_LIMIT = 2**53  # bytes; JSON numbers are exact up to here
_REFERENCE_LIMIT = 10_000  # descriptors one manifest may name


class _Descriptor(msgspec.Struct, rename="camel"):
    media_type: str
    digest: str
    size: int
    urls: list[str] | None = None
    data: str | None = None
    annotations: dict[str, str] | None = None
    artifact_type: str | None = None
    platform: dict[str, Any] | None = None


class _Document(msgspec.Struct, rename="camel"):
    schema_version: int | None = None
    media_type: str | None = None
    artifact_type: str | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    blobs: list[_Descriptor] | None = None  # of the OCI artifact manifest, which 1.1 dropped
    manifests: list[_Descriptor] | None = None
    subject: _Descriptor | None = None
    annotations: dict[str, str] | None = None
    signatures: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    fs_layers: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Document)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of one thing it names."""

    media_type: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class ManifestContent:
    """What a manifest says. `layers` need to be in the repository, `foreign` ones need not."""

    media_type: str
    artifact_type: str | None  # as the referrers list shows it
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    foreign: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]
    subject: Digest | None
    annotations: str | None  # JSON object

    @property
    def content_size(self) -> int:
        """Bytes of all it names directly, itself not counted."""
        return sum(item.size for item in (*self.layers, *self.children)) + (self.config.size if self.config else 0)


def parse_manifest(body: bytes, content_type: str) -> ManifestContent:
    """What `body` says, being of the type `content_type` (parameters cut off; empty: the body tells).

    Errors: ManifestInvalidError, DigestInvalidError.
    """
    document = _decode(body)
    media_type = _media_type(document, content_type)
    manifests, layers = document.manifests, document.layers if document.layers is not None else document.blobs
    if manifests is not None and (layers is not None or document.config is not None):
        raise ManifestInvalidError(
            "a manifest is an index or an image: this one has both `manifests` and `layers` or `config`"
        )
    if media_type in INDEXES and manifests is None:
        raise ManifestInvalidError(f"a manifest of type {media_type} needs `manifests`")
    if media_type in IMAGE_MANIFESTS and (document.config is None or document.layers is None):
        raise ManifestInvalidError(f"a manifest of type {media_type} needs `config` and `layers`")
    if len(manifests or ()) + len(layers or ()) > _REFERENCE_LIMIT:
        raise ManifestInvalidError(f"a manifest may name at most {_REFERENCE_LIMIT} things")
    config = _descriptor(document.config) if document.config is not None else None
    named = [_descriptor(item) for item in layers or ()]
    return ManifestContent(
        media_type=media_type,
        artifact_type=document.artifact_type or (config.media_type if config is not None else None),
        config=config,
        layers=tuple(item for item in named if not is_foreign(item.media_type)),
        foreign=tuple(item for item in named if is_foreign(item.media_type)),
        children=tuple(_descriptor(item) for item in manifests or ()),
        subject=_descriptor(document.subject).digest if document.subject is not None else None,
        annotations=msgspec.json.encode(document.annotations).decode() if document.annotations else None,
    )


def _decode(body: bytes) -> _Document:
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestInvalidError(f"the manifest is not the JSON document it should be: {error}") from error
    if document.schema_version == 1 or document.fs_layers is not msgspec.UNSET:
        raise ManifestInvalidError(
            "schema 1 manifests are not supported: push with Docker 1.10 or newer, or convert the image with skopeo copy"
        )
    if document.schema_version not in {2, None}:
        raise ManifestInvalidError(f"schemaVersion is {document.schema_version}, want 2")
    return document


def _media_type(document: _Document, content_type: str) -> str:
    said = document.media_type
    media_type = content_type or said or ""
    if media_type in SCHEMA1:
        raise ManifestInvalidError(
            "schema 1 manifests are not supported: push with Docker 1.10 or newer, or convert the image with skopeo copy"
        )
    if said is not None and said != media_type:
        raise ManifestInvalidError(f"the manifest says it is {said!r}, its Content-Type says {media_type!r}")
    if _MEDIA_TYPE.fullmatch(media_type) is None or not media_type.endswith("+json"):
        raise ManifestInvalidError(
            f"{media_type[:160]!r} is no media type of a manifest: send it as Content-Type, such as "
            "application/vnd.oci.image.manifest.v1+json"
        )
    known = media_type in IMAGE_MANIFESTS or media_type in INDEXES
    if known and document.schema_version is None:
        raise ManifestInvalidError("schemaVersion is missing, want 2")
    return media_type


def _descriptor(item: _Descriptor) -> Descriptor:
    if _MEDIA_TYPE.fullmatch(item.media_type) is None:
        raise ManifestInvalidError(f"a descriptor's mediaType is {item.media_type[:160]!r}")
    if not 0 <= item.size <= _SIZE_LIMIT:
        raise ManifestInvalidError(f"a descriptor's size is {item.size}")
    digest = Digest.parse(item.digest)
    if item.data is not None:
        _check_data(item.data, digest, item.size)
    return Descriptor(item.media_type, digest, item.size)


def _check_data(data: str, digest: Digest, size: int) -> None:
    # Source: OCI image spec, descriptor.md, "data": clients may take it for the content, so it must be that.
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ManifestInvalidError(f"the data field of {digest} is not base64") from error
    if len(content) != size or Digest.of(content, digest.algorithm) != digest:
        raise ManifestInvalidError(f"the data field of {digest} holds something else")


def check_digest(body: bytes, digest: Digest) -> None:
    """`body` has the digest it is pushed under. Errors: DigestInvalidError."""
    found = Digest.of(body, digest.algorithm)
    if found != digest:
        raise DigestInvalidError(f"the manifest's digest is {found}, it was pushed as {digest}")
