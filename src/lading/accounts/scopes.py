"""Scopes as clients ask for them. Pure. Source: Docker registry token authentication, "Token scope documentation"."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lading.access import Permission
from lading.core.errors import InvalidError
from lading.core.names import NameInvalidError, RepositoryName

ACTIONS: Mapping[str, Permission] = {
    "pull": Permission.PULL,
    "push": Permission.PUSH,
    "delete": Permission.DELETE_CONTENT,
}
"""What scopes name, and which permission each needs."""
CHANGES = frozenset({"push", "delete"})
_SCOPES_LIMIT = 100
_LENGTH_LIMIT = 8192


@dataclass(frozen=True, slots=True)
class RepositoryScope:
    """Actions asked for on a repository. `asked_name` is how the client spelled it, perhaps with our host before it."""

    asked_name: str
    name: RepositoryName
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scopes:
    """All that one request asks for."""

    repositories: tuple[RepositoryScope, ...]
    catalog: bool


def parse_scopes(texts: Sequence[str], hosts: Collection[str]) -> Scopes:
    """What the `scope` parameters ask for, each of which may hold several, with spaces between.

    Unknown types, actions and impossible names are left out: they would be granted nothing anyway.
    Errors: InvalidError when there are too many.
    """
    if sum(map(len, texts)) > _LENGTH_LIMIT:
        raise InvalidError(f"the scopes have more than {_LENGTH_LIMIT} characters")
    asked = [scope for text in texts for scope in text.split()]
    if len(asked) > _SCOPES_LIMIT:
        raise InvalidError(f"at most {_SCOPES_LIMIT} scopes can be asked for at once")
    repositories = [found for scope in asked if (found := _repository(scope, hosts)) is not None]
    return Scopes(tuple(repositories), catalog="registry:catalog:*" in asked)


def _repository(scope: str, hosts: Collection[str]) -> RepositoryScope | None:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    if kind.partition("(")[0] != "repository" or not name:
        return None
    host, slash, inner = name.partition("/")
    try:
        parsed = RepositoryName.parse(inner if slash and host.lower() in hosts else name)
    except NameInvalidError:
        return None
    wanted = tuple(dict.fromkeys(action for action in actions.split(",") if action in {*ACTIONS, "*"}))
    return RepositoryScope(name, parsed, wanted)
