"""Roles and their names: the four base roles, and delegations below `targets`. Pure.

Rules of a delegation's name: it starts with `targets/`, has lower-case letters, digits, `-`, `_` and single slashes, no slash
at its end, and fewer than 256 characters in all.
Source: notary-protocol, part 1.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from lading.trust.errors import RoleInvalidError

NAME_LIMIT = 255  # characters of a whole name

_DELEGATION = re.compile(r"targets(/[-a-z0-9_]+)+", re.ASCII)
_BASE = ("root", "targets", "snapshot", "timestamp")


@dataclass(frozen=True, slots=True, order=True)
class RoleName:
    """A role's name, as it stands in paths, file names and snapshots: `root`, `targets/releases`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name that `text` spells. Errors: RoleInvalidError."""
        return cls(_checked(text))

    @property
    def is_delegation(self) -> bool:
        return "/" in self.text

    @property
    def is_targets(self) -> bool:
        """Whether files of this role hold targets: `targets` itself, and delegations."""
        return self.is_delegation or self.text == "targets"

    @property
    def depth(self) -> int:
        """Zero for the base roles, one for what `targets` delegates to, and so on."""
        return self.text.count("/")

    @property
    def ancestors(self) -> tuple["RoleName", ...]:
        """Who must vouch for a delegation: `targets` first, its parent last; nobody for a base role."""
        parts = self.text.split("/")
        return tuple(RoleName("/".join(parts[:end])) for end in range(1, len(parts)))

    @property
    def parent(self) -> "RoleName | None":
        """The delegation's parent; None for a base role, whose keys stand in the root."""
        return self.ancestors[-1] if self.is_delegation else None

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=4096)
def _checked(text: str) -> str:
    if text not in _BASE and (len(text) > NAME_LIMIT or _DELEGATION.fullmatch(text) is None):
        raise RoleInvalidError(text)
    return text


ROOT, TARGETS, SNAPSHOT, TIMESTAMP = BASE_ROLES = tuple(RoleName(text) for text in _BASE)
"""In the order in which a root is looked through."""


@dataclass(frozen=True, slots=True)
class Role:
    """Whose signatures a file needs: at least `threshold` of the keys named."""

    keyids: tuple[str, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class Delegation:
    """A role that a targets file hands part of its names to: those that begin with one of `paths`."""

    name: RoleName
    role: Role
    paths: tuple[str, ...]  # none: no target at all; "": every target
