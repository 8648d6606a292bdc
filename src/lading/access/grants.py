"""Grants as the decision sees them: permissions on the repositories whose names match a pattern.

A pattern is a whole repository name in which `*` stands for any characters: `acme/app`, `acme/base-*`, `acme/*` (the
namespace), `*` (all of them).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from lading.access.permissions import Permission
from lading.access.roles import Role
from lading.core.errors import InvalidError

EVERYTHING = "*"
PATTERN_LIMIT = 355
_PATTERN = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*/[a-z0-9._/*-]*[a-z0-9*]", re.ASCII)


class PatternInvalidError(InvalidError):
    """Not a pattern of repository names."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:PATTERN_LIMIT]!r} is no pattern of repositories: want NAMESPACE/NAME, in whose NAME `*` stands for any "
            "characters, such as acme/base-*; acme/* for a namespace; * for all"
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """Permissions on the repositories that `resource` matches."""

    resource: str
    permissions: frozenset[Permission]

    def covers(self, full_name: str) -> bool:
        """True when it speaks of the repository of that whole name."""
        return self.resource in {EVERYTHING, full_name} or matches(self.resource, full_name)

    def covers_namespace(self, namespace: str) -> bool:
        """True when it speaks of all repositories of the namespace, those to come included."""
        return self.resource in {EVERYTHING, f"{namespace}/*"}


def check_pattern(text: str) -> str:
    """`text`, when it is a pattern. Errors: PatternInvalidError."""
    if text != EVERYTHING and (len(text) > PATTERN_LIMIT or _PATTERN.fullmatch(text) is None):
        raise PatternInvalidError(text)
    return text


def is_glob(pattern: str) -> bool:
    """True for patterns that no look-up by a repository's name finds: those with a `*` inside a name."""
    return "*" in pattern and pattern != EVERYTHING and pattern.partition("/")[2] != "*"


def matches(pattern: str, full_name: str) -> bool:
    """Whether the pattern stands for the name."""
    return "*" in pattern and _compiled(pattern).fullmatch(full_name) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.ASCII)


def permissions_of(role: str, custom: Iterable[str] = ()) -> frozenset[Permission]:
    """A built-in role's permissions, or those that the words `custom` name; unknown words give nothing."""
    try:
        return Role(role).permissions
    except ValueError:
        return frozenset(Permission(word) for word in custom if word in _WORDS)


_WORDS = frozenset(permission.value for permission in Permission)
