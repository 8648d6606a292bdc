"""What can go wrong in a registry, with the OCI codes. The statuses stand in routes.py, one line each.

Source: OCI distribution spec 1.1, "Error codes"; the statuses of the Docker registry API, which clients know.
"""

from collections.abc import Mapping

from lading.core.digests import Digest
from lading.core.errors import (
    ConflictError,
    InvalidError,
    TooLargeError,
    UnavailableError,
    UnknownError,
    UnsupportedError,
)
from lading.core.names import Reference, RepositoryName


class NameUnknownError(UnknownError):
    """No such repository, told only to who may know. `can_create` adds how to make it."""

    code = "NAME_UNKNOWN"

    def __init__(self, name: RepositoryName, *, can_create: bool = False) -> None:
        hint = f"; create it first: lading repo create {name} (or let pushes do it: registry.create_repository_on_push = true)"
        super().__init__(
            f"the repository {name} does not exist{hint if can_create else ''}", detail={"name": str(name)}
        )


class BlobUnknownError(UnknownError):
    """The repository has no such blob."""

    code = "BLOB_UNKNOWN"

    def __init__(self, name: RepositoryName, digest: Digest) -> None:
        super().__init__(f"the repository {name} has no blob {digest}", detail={"digest": str(digest)})


class ManifestUnknownError(UnknownError):
    """The repository has no such manifest or tag."""

    code = "MANIFEST_UNKNOWN"

    def __init__(self, name: RepositoryName, reference: Reference, why: str = "") -> None:
        super().__init__(
            why or f"the repository {name} has no manifest {reference}", detail={"reference": str(reference)}
        )


class ManifestInvalidError(InvalidError):
    """A manifest that is not what its media type says."""

    code = "MANIFEST_INVALID"


class ManifestBlobUnknownError(InvalidError):
    """A manifest that names content which is not in its repository."""

    code = "MANIFEST_BLOB_UNKNOWN"

    def __init__(self, name: RepositoryName, missing: list[Digest]) -> None:
        shown = ", ".join(str(digest) for digest in missing[:5]) + (" …" if len(missing) > 5 else "")  # noqa: PLR2004 — a line
        super().__init__(
            f"the manifest names content that the repository {name} does not have: {shown}; push it first",
            detail=[{"digest": str(digest)} for digest in missing[:100]],
        )


class UploadUnknownError(UnknownError):
    """No such upload, or not this caller's, or not in this repository: the same answer for all."""

    code = "BLOB_UPLOAD_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("there is no such upload here: it was finished, cancelled, or is too old; start a new one")


class UploadInvalidError(InvalidError):
    """A request that an upload can't take."""

    code = "BLOB_UPLOAD_INVALID"


class ChunkOutOfOrderError(InvalidError):
    """A chunk that does not begin where the upload stands. `location` and `offset` tell the client where to go on."""

    code = "BLOB_UPLOAD_INVALID"

    def __init__(self, location: str, upload_id: str, offset: int) -> None:
        super().__init__(f"the upload stands at byte {offset}: send the chunk that begins there")
        self._headers = {"Location": location, "Docker-Upload-UUID": upload_id, "Range": uploaded_range(offset)}

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers


class TagImmutableError(ConflictError):
    """A tag of an immutable repository that exists already."""

    code = "DENIED"

    def __init__(self, name: RepositoryName, tag: str) -> None:
        super().__init__(
            f"tag={tag} cannot be overwritten because {name} is an immutable repository", detail={"tag": tag}
        )


class ContentTooLargeError(TooLargeError):
    """More bytes than the setting allows."""

    code = "SIZE_INVALID"


class StorageFullError(UnavailableError):
    """No room for new content."""

    code = "DENIED"

    def __init__(self) -> None:
        super().__init__("the registry's storage is full: nothing was stored; tell its administrator")


class DisabledError(UnsupportedError):
    """Switched off by a setting: deletion, or any change in read-only mode."""

    code = "UNSUPPORTED"


class PageInvalidError(InvalidError):
    """A page size that is no number."""

    code = "PAGINATION_NUMBER_INVALID"


def uploaded_range(offset: int) -> str:
    """The Range header of an upload that has `offset` bytes; `0-0` for none, as clients of Docker's registry expect."""
    return f"0-{max(offset - 1, 0)}"
