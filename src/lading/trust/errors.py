"""What can go wrong with trust metadata, each with the code, the status and the JSON body that Notary clients know.

Rules: a client reads at most 1024 bytes of a 400's body and wants exactly one error in it; so text that came from outside
is shortened before it is repeated.
Source: notary-protocol, part 6.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lading.core.errors import InvalidError, Kind, LadingError

_SHOWN = 100  # characters of outside text; escaped at worst to six bytes each, it still fits


def shown(text: str) -> str:
    """`text`, shortened when it is too long to be repeated in an error."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


class MetadataInvalidError(InvalidError):
    """A metadata file that is not what its role demands; which of the five names it gets, the update knows."""


class TrustError(LadingError):
    """An answer of the trust door other than 200. `detail` is left out of the body when it is None."""

    status: int = 400

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON; on the wire a line feed follows it."""
        error = {"code": self.code, "message": self.message}
        return {"errors": [error if self.detail is None else {**error, "detail": self.detail}]}


class FileNameMissingError(TrustError):
    """A part of an update names no role."""

    code = "NO_FILENAME"

    def __init__(self) -> None:
        super().__init__("No file/role name provided.")


class RoleInvalidError(TrustError):
    """Not a role's name."""

    code = "INVALID_ROLE"

    def __init__(self, name: str) -> None:
        super().__init__("The role you are attempting to operate on is invalid.", detail=shown(name))


class JSONMalformedError(TrustError):
    """A part of an update is no metadata file."""

    code = "MALFORMED_JSON"

    def __init__(self) -> None:
        super().__init__("JSON sent by the client could not be parsed by the server")


class UpdateInvalidError(TrustError):
    """The files were understood and do not make a valid update; the subclass is the name that clients decode."""

    code = "INVALID_UPDATE"
    name = "ErrValidation"

    def __init__(self, reason: str, **more: str) -> None:
        super().__init__(
            "Update sent by the client is invalid.", detail={"Name": self.name, "Error": {**more, "Msg": reason}}
        )


class RootInvalidError(UpdateInvalidError):
    """The root of an update is bad, or names a timestamp key that is not the server's."""

    name = "ErrBadRoot"


class TargetsInvalidError(UpdateInvalidError):
    """The targets, or a delegation, of an update are bad."""

    name = "ErrBadTargets"


class SnapshotInvalidError(UpdateInvalidError):
    """The snapshot of an update is bad."""

    name = "ErrBadSnapshot"


class SnapshotMissingError(UpdateInvalidError):
    """An update without a snapshot, whose key the client holds."""

    name = "ErrBadHierarchy"

    def __init__(self) -> None:
        super().__init__(
            "no snapshot was included in update and server does not hold current snapshot key for repository",
            Missing="snapshot",
        )


class OldVersionError(TrustError):
    """A file of the update is not newer than what is stored: somebody else was faster, or the client slept."""

    kind = Kind.CONFLICT
    code = "VERSION"

    def __init__(self) -> None:
        super().__init__("A newer version of metadata is already available.", detail={})


class RenewalError(TrustError):
    """A snapshot or timestamp is expired, and cannot be made anew before the client publishes again."""

    kind = Kind.UNAVAILABLE
    code = "UNKNOWN"
    status = 500

    def __init__(self, detail: Mapping[str, object]) -> None:
        super().__init__("unknown error", detail=dict(detail))


class SigningKeysMissingError(RenewalError):
    """The server holds too few of the role's keys to sign it anew."""

    def __init__(self, *, found: int, needed: int, missing: Sequence[str]) -> None:
        super().__init__({"FoundKeys": found, "NeededKeys": needed, "MissingKeyIDs": list(missing)})
