"""Built-in roles: DTR's three levels as sets of permissions, and what owners have. Source: DTR reference, part 2.2."""

from enum import StrEnum

from lading.access.permissions import Permission


class Role(StrEnum):
    """A named set of permissions on a repository, or on all of a namespace. They add up: the highest wins."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    ADMIN = "admin"
    OWNER = "owner"
    """A user's on the own namespace, an organization owner's on that of the organization; given by nobody."""

    @property
    def permissions(self) -> frozenset[Permission]:
        return _PERMISSIONS[self]


LEVELS = (Role.READ_ONLY, Role.READ_WRITE, Role.ADMIN)
"""DTR's access levels, lowest first."""

_READ = frozenset({Permission.VIEW, Permission.PULL})
_WRITE = _READ | {Permission.PUSH, Permission.START_SCAN, Permission.DELETE_CONTENT}
_ADMIN = _WRITE | {
    Permission.EDIT_REPOSITORY,
    Permission.MANAGE_ACCESS,
    Permission.VIEW_PULLS,
    Permission.DELETE_REPOSITORY,
    Permission.CREATE_REPOSITORY,
    Permission.MANAGE_NAMESPACE_ACCESS,
}
_OWNER = _ADMIN | {
    Permission.VIEW_NAMESPACE,
    Permission.MANAGE_ACCOUNT,
    Permission.VIEW_TEAM,
    Permission.EDIT_TEAM,
}
_PERMISSIONS = {Role.READ_ONLY: _READ, Role.READ_WRITE: _WRITE, Role.ADMIN: _ADMIN, Role.OWNER: _OWNER}

GRANTABLE = _ADMIN
"""What a custom role may be made of."""
