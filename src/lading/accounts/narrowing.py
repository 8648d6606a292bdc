"""What an access token is narrowed to, as text for the database. `grant_store.parse_grants` reads it back."""

from collections.abc import Sequence

from lading.access.grants import check_pattern
from lading.access.permissions import Permission
from lading.access.roles import GRANTABLE, Role
from lading.core.errors import InvalidError

_WORDS = frozenset(permission.value for permission in GRANTABLE)


def narrowing_line(resource: str, *, level: str | None, permissions: Sequence[str]) -> str:
    """One line: the pattern of repositories, and a level or some permissions on them.

    Errors: PatternInvalidError; InvalidError unless it is either a level or permissions that exist.
    """
    check_pattern(resource)
    wrong = sorted(set(permissions) - _WORDS)
    if wrong:
        raise InvalidError(f"there is no permission {wrong[0][:64]!r}: want some of {', '.join(sorted(_WORDS))}")
    if (level is None) == (not permissions):
        raise InvalidError(f"{resource}: give either accessLevel or permissions")
    granted = Role(level).permissions if level is not None else {Permission(word) for word in permissions}
    return f"custom\t{resource}\t{' '.join(sorted(granted))}"
