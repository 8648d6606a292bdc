"""Every permission there is, as `scope:resource:action`."""

from enum import StrEnum


class Permission(StrEnum):
    """What a door asks `decide` about."""

    # on a repository
    VIEW = "repository:metadata:view"
    """Whoever holds any role on a repository has it."""
    PULL = "repository:content:pull"
    PUSH = "repository:content:push"
    START_SCAN = "repository:scan:start"
    DELETE_CONTENT = "repository:content:delete"
    EDIT_REPOSITORY = "repository:metadata:edit"
    MANAGE_ACCESS = "repository:access:manage"
    """See and change which teams may what."""
    VIEW_PULLS = "repository:pulls:view"
    """See who pulled, promoted and mirrored; other events come with VIEW."""
    DELETE_REPOSITORY = "repository:repository:delete"
    CREATE_REPOSITORY = "repository:repository:create"
    """Make the repository of that name, which is not there yet."""
    # on a namespace
    VIEW_NAMESPACE = "namespace:account:view"
    """See the account, and of an organization its members and teams."""
    MANAGE_NAMESPACE_ACCESS = "namespace:access:manage"
    MANAGE_ACCOUNT = "namespace:account:manage"
    """The account's own matters: its access tokens, settings, password; an organization's members and teams."""
    # on a team
    VIEW_TEAM = "team:team:view"
    EDIT_TEAM = "team:team:edit"
    """Its description and its members; making and deleting teams is MANAGE_ACCOUNT of the organization."""
    # on the system
    LIST_CATALOG = "system:catalog:list"
    """Ask for the catalog at all; what it shows is filtered by VIEW."""
    ADMINISTER = "system:system:administer"
