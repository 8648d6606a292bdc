"""What permissions are asked on, with the facts that a decision needs and nothing else."""

from dataclasses import dataclass
from enum import StrEnum


class Visibility(StrEnum):
    """Who sees a repository without a grant: everyone, or nobody."""

    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository. `visibility` is None when it does not exist (yet): then only grants and ownership speak."""

    namespace: str
    name: str  # all that follows the namespace
    visibility: Visibility | None = None


@dataclass(frozen=True, slots=True)
class Namespace:
    """All that one account owns, and the account itself. `is_member`: the caller belongs to that organization."""

    name: str
    is_member: bool = False


@dataclass(frozen=True, slots=True)
class Team:
    """A team of an organization. `is_member` and `is_admin` tell what the caller is in it."""

    organization: str
    is_member: bool = False
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class System:
    """This installation."""


Resource = Repository | Namespace | Team | System
