"""The one decision. Every door calls it; nobody else decides.

Rules, in order:
1. An inactive account may nothing.
2. Anyone may view and pull a public repository; anonymous callers only while anonymous access is on.
3. Who came by a narrowed access token may no more than it was narrowed to.
4. A system admin may everything.
5. An account has the role `owner` on the namespace of its own name, and so on all repositories in it.
6. An account has what its grants give on what they speak of; any grant on a repository lets it be viewed.
7. Members see their organization and its teams; a team's admin edits the team.
8. Any account may ask for the catalog, which shows it what it may view.

Source: DTR reference, part 2.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lading.access.grants import Grant
from lading.access.permissions import Permission
from lading.access.principals import Principal
from lading.access.resources import Namespace, Repository, Resource, System, Team, Visibility
from lading.access.roles import Role


@dataclass(frozen=True, slots=True)
class Allowed:
    """Go on."""

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Refused:
    """No, and why, in words for the log and for those who may see the resource."""

    reason: str

    def __bool__(self) -> bool:
        return False


Decision = Allowed | Refused

_ALLOWED = Allowed()
_INACTIVE = Refused("the account is not active")
_ANONYMOUS = Refused("nobody is signed in")
_NO_GRANT = Refused("no role that the account holds here includes it")
_ADMIN_ONLY = Refused("only a system admin may")
_NARROWED = Refused("the access token is narrowed to other repositories or permissions")
_PUBLIC = Role.READ_ONLY.permissions
_OWN = Role.OWNER.permissions


def decide(
    principal: Principal, permission: Permission, resource: Resource, *, anonymous_access: bool = True
) -> Decision:
    """Whether `principal` has `permission` on `resource`. Pure and total."""
    if not principal.is_active:
        return _INACTIVE
    if type(resource) is Repository and resource.visibility is Visibility.PUBLIC and permission in _PUBLIC:
        return _ALLOWED if anonymous_access or not principal.is_anonymous else _ANONYMOUS
    if principal.is_anonymous:
        return _ANONYMOUS
    if principal.narrowing is not None and not _given(principal.narrowing, permission, resource):
        return _NARROWED
    return _ALLOWED if principal.is_admin else _by_rights(principal, permission, resource)


def _by_rights(principal: Principal, permission: Permission, resource: Resource) -> Decision:
    match resource:
        case System():
            return _ALLOWED if permission is Permission.LIST_CATALOG else _ADMIN_ONLY
        case Repository(namespace=owner) | Namespace(name=owner) | Team(organization=owner):
            if principal.name == owner and permission in _OWN:
                return _ALLOWED
    if _given(principal.grants, permission, resource) or _by_membership(permission, resource):
        return _ALLOWED
    return _NO_GRANT


def _given(grants: Iterable[Grant], permission: Permission, resource: Resource) -> bool:
    match resource:
        case Repository(namespace=namespace, name=name):
            full_name = f"{namespace}/{name}"
            return any(
                (permission in grant.permissions or permission is Permission.VIEW) and grant.covers(full_name)
                for grant in grants
            )
        case Namespace(name=namespace) | Team(organization=namespace):
            return any(permission in grant.permissions and grant.covers_namespace(namespace) for grant in grants)
        case System():
            return False


def _by_membership(permission: Permission, resource: Resource) -> bool:
    match resource:
        case Namespace(is_member=is_member):
            return is_member and permission is Permission.VIEW_NAMESPACE
        case Team(is_member=is_member, is_admin=is_admin):
            if permission is Permission.VIEW_TEAM:
                return is_member or is_admin
            return is_admin and permission is Permission.EDIT_TEAM
        case _:
            return False
