"""Built-in roles: DTR's three levels as sets of permissions. Source: DTR reference, part 2.2."""

from enum import StrEnum

from lading.access.permissions import Permission


class Role(StrEnum):
    """A named set of permissions on a repository, or on all of a namespace. They add up: the highest wins."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    ADMIN = "admin"

    @property
    def permissions(self) -> frozenset[Permission]:
        return _PERMISSIONS[self]


_READ = frozenset({Permission.VIEW, Permission.PULL})
_WRITE = _READ | {Permission.PUSH, Permission.DELETE_CONTENT}
_ADMIN = _WRITE | {
    Permission.EDIT_REPOSITORY,
    Permission.DELETE_REPOSITORY,
    Permission.CREATE_REPOSITORY,
    Permission.MANAGE_ACCOUNT,
}
_PERMISSIONS = {Role.READ_ONLY: _READ, Role.READ_WRITE: _WRITE, Role.ADMIN: _ADMIN}
