"""What permissions are asked on, with the facts that a decision needs and nothing else."""

from dataclasses import dataclass
from enum import StrEnum


class Visibility(StrEnum):
    """Who sees a repository without a grant: everyone, or nobody."""

    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository. `visibility` is None when it does not exist (yet): then only namespace rights speak."""

    namespace: str
    visibility: Visibility | None = None


@dataclass(frozen=True, slots=True)
class Namespace:
    """All that one account owns."""

    name: str


@dataclass(frozen=True, slots=True)
class System:
    """This installation."""


Resource = Repository | Namespace | System
