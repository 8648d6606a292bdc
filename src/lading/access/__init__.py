"""Who may do what: principals, permissions, roles and the one pure decision. No I/O."""

from lading.access.decision import Allowed, Decision, Refused, decide
from lading.access.grants import Grant
from lading.access.permissions import Permission
from lading.access.principals import ANONYMOUS, Principal
from lading.access.resources import Namespace, Repository, Resource, System, Team, Visibility
from lading.access.roles import Role

__all__ = [
    "ANONYMOUS",
    "Allowed",
    "Decision",
    "Grant",
    "Namespace",
    "Permission",
    "Principal",
    "Refused",
    "Repository",
    "Resource",
    "Role",
    "System",
    "Team",
    "Visibility",
    "decide",
]
