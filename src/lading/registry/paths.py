"""The grammar of `/v2/` paths, parsed from the raw path once; nothing after this sees text.

The name may hold words like `tags` or `manifests`, so a path is read from its end. What nginx and this parser could read
differently (`..`, `//`, encoded slashes and dots) is refused. Source: OCI distribution spec 1.1, "Endpoints".
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from lading.core.digests import Digest
from lading.core.errors import InvalidError, UnknownError
from lading.core.names import Reference, RepositoryName, parse_reference

_LIMIT = 1024  # bytes of a path: a name of 255, a digest of 135 and the words between fit many times
_UPLOAD_ID = re.compile(r"[A-Za-z0-9_=-]{1,128}", re.ASCII)  # as in edge/nginx.conf.j2


class Kind(Enum):
    """What a path names."""

    BASE = auto()
    CATALOG = auto()
    BLOB = auto()
    UPLOAD_START = auto()
    UPLOAD = auto()
    MANIFEST = auto()
    TAGS = auto()
    REFERRERS = auto()


UPLOADS = frozenset({Kind.UPLOAD_START, Kind.UPLOAD})


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed path. `reference` is set for manifests, `digest` for blobs and referrers, `upload_id` for uploads."""

    kind: Kind
    name: RepositoryName | None = None
    reference: Reference | None = None
    digest: Digest | None = None
    upload_id: str = ""

    @property
    def repository(self) -> RepositoryName:
        if self.name is None:
            raise RuntimeError(f"{self.kind} names no repository")
        return self.name


class PathInvalidError(InvalidError):
    """A path that two readers could understand differently."""

    code = "NAME_INVALID"


class UploadIdInvalidError(InvalidError):
    """Not an upload's id: nothing that was not made here gets as far as the database or a file's name."""

    code = "BLOB_UPLOAD_INVALID"


class NotFoundError(UnknownError):
    """No endpoint has this path."""

    code = "UNSUPPORTED"


@lru_cache(maxsize=16384)
def parse_path(raw: bytes) -> Target:
    """What the raw path (no query) names.

    Errors: PathInvalidError, NotFoundError, NameInvalidError, TagInvalidError, DigestInvalidError,
    UploadIdInvalidError.
    """
    parts = _parts(raw)
    match parts:
        case [] | [""]:
            return Target(Kind.BASE)
        case ["_catalog"]:
            return Target(Kind.CATALOG)
        case [*name, "blobs", "uploads"] | [*name, "blobs", "uploads", ""]:
            return Target(Kind.UPLOAD_START, RepositoryName.parse("/".join(name)))
        case [*name, "blobs", "uploads", upload_id]:
            if _UPLOAD_ID.fullmatch(upload_id) is None:
                raise UploadIdInvalidError("no upload has such an id")
            return Target(Kind.UPLOAD, RepositoryName.parse("/".join(name)), upload_id=upload_id)
        case [*name, "blobs", digest]:
            return Target(Kind.BLOB, RepositoryName.parse("/".join(name)), digest=Digest.parse(digest))
        case [*name, "manifests", reference]:
            return Target(Kind.MANIFEST, RepositoryName.parse("/".join(name)), parse_reference(reference))
        case [*name, "tags", "list"]:
            return Target(Kind.TAGS, RepositoryName.parse("/".join(name)))
        case [*name, "referrers", digest]:
            return Target(Kind.REFERRERS, RepositoryName.parse("/".join(name)), digest=Digest.parse(digest))
        case _:
            raise NotFoundError("no endpoint of the registry has this path")


def _parts(raw: bytes) -> list[str]:
    if len(raw) > _LIMIT:
        raise PathInvalidError(f"the path has more than {_LIMIT} bytes")
    lowered = raw.lower()
    if b"//" in raw or b"%2f" in lowered or b"%2e" in lowered or b"%5c" in lowered or b"\\" in raw:
        raise PathInvalidError("the path holds an empty part, or an encoded slash or dot")
    try:
        text = unquote_to_bytes(raw).decode("ascii")
    except UnicodeDecodeError as error:
        raise PathInvalidError("the path holds characters outside ASCII") from error
    parts = text.split("/")[2:]  # of '', 'v2', …
    if "." in parts or ".." in parts or "%" in text:
        raise PathInvalidError("the path holds '.', '..' or an encoded percent sign")
    return parts
