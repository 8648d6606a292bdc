"""One family of errors: a closed list of kinds, and sentences that say what went wrong, on what, and what to do.

Each door translates kinds and codes into its own statuses in one table; messages are safe to show to anyone who may see
the resource they name: no secrets, no paths of this machine.
"""

from collections.abc import Mapping
from enum import StrEnum


class Kind(StrEnum):
    """What sort of trouble it is; doors map it to a status when they know nothing better."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"
    TOO_LARGE = "too large"
    TOO_MANY = "too many"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"


class LadingError(Exception):
    """Anything that a user, or the outside world, did or met. `code` is DTR's or OCI's word for it."""

    kind: Kind = Kind.INVALID
    code: str = "INVALID"

    def __init__(self, message: str, *, detail: object | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that belong to the answer, such as a challenge or Retry-After."""
        return {}


class InvalidError(LadingError):
    """Outside text that is not what it should be."""


class UnauthenticatedError(LadingError):
    """No credentials, or wrong ones. Never says which of name and password was wrong."""

    kind = Kind.UNAUTHENTICATED
    code = "UNAUTHORIZED"


class DeniedError(LadingError):
    """Known who it is, and it may not."""

    kind = Kind.DENIED
    code = "DENIED"


class UnknownError(LadingError):
    """The thing named does not exist, or not for this caller."""

    kind = Kind.UNKNOWN
    code = "UNKNOWN"


class ConflictError(LadingError):
    """The thing exists already, or is in a state that forbids this."""

    kind = Kind.CONFLICT
    code = "CONFLICT"


class TooLargeError(LadingError):
    """More bytes, or entries, than the setting allows."""

    kind = Kind.TOO_LARGE
    code = "SIZE_INVALID"


class TooManyError(LadingError):
    """Asked too often; `retry_after_seconds` tells when to come back."""

    kind = Kind.TOO_MANY
    code = "TOOMANYREQUESTS"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_seconds)}


class UnsupportedError(LadingError):
    """A request that is understood and that this server, as set up, does not do."""

    kind = Kind.UNSUPPORTED
    code = "UNSUPPORTED"


class UnavailableError(LadingError):
    """A part this server depends on does not answer; the cause is kept with `from` and goes to the log only."""

    kind = Kind.UNAVAILABLE
    code = "UNAVAILABLE"


class SettingsError(LadingError):
    """A setting, a port, a folder: something the operator must mend before the server can start. Exit status 2."""

    code = "INVALID_SETTINGS"
