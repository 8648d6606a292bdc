"""The one decision. Every door calls it; nobody else decides.

Rules, in order:
1. An inactive account may nothing.
2. A system admin may everything.
3. An account has the role `admin` on the namespace of its own name, and so on all repositories in it.
4. Anyone may view and pull a public repository; anonymous callers only while anonymous access is on.
5. Any account may ask for the catalog, which shows it what it may view.

Source: DTR reference, part 2.
"""

from dataclasses import dataclass

from lading.access.permissions import Permission
from lading.access.principals import Principal
from lading.access.resources import Namespace, Repository, Resource, System, Visibility
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
_PUBLIC = Role.READ_ONLY.permissions


def decide(
    principal: Principal, permission: Permission, resource: Resource, *, anonymous_access: bool = True
) -> Decision:
    """Whether `principal` has `permission` on `resource`. Pure and total."""
    if not principal.is_active:
        return _INACTIVE
    if principal.is_admin:
        return _ALLOWED
    match resource:
        case System():
            if permission is Permission.LIST_CATALOG and not principal.is_anonymous:
                return _ALLOWED
            return _ANONYMOUS if principal.is_anonymous else _ADMIN_ONLY
        case Namespace(name=namespace):
            return _on_namespace(principal, permission, namespace)
        case Repository(namespace=namespace, visibility=visibility):
            if visibility is Visibility.PUBLIC and permission in _PUBLIC:
                return _ALLOWED if anonymous_access or not principal.is_anonymous else _ANONYMOUS
            return _on_namespace(principal, permission, namespace)


def _on_namespace(principal: Principal, permission: Permission, namespace: str) -> Decision:
    if principal.is_anonymous:
        return _ANONYMOUS
    if principal.name == namespace and permission in Role.ADMIN.permissions:
        return _ALLOWED
    return _NO_GRANT
