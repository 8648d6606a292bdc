"""Every permission there is, as `scope:resource:action`."""

from enum import StrEnum


class Permission(StrEnum):
    """What a door asks `decide` about."""

    # on a repository
    VIEW = "repository:metadata:view"
    PULL = "repository:content:pull"
    PUSH = "repository:content:push"
    DELETE_CONTENT = "repository:content:delete"
    EDIT_REPOSITORY = "repository:metadata:edit"
    DELETE_REPOSITORY = "repository:repository:delete"
    # on a namespace
    CREATE_REPOSITORY = "namespace:repository:create"
    MANAGE_ACCOUNT = "namespace:account:manage"
    """The account's own matters: its access tokens, its settings, its password."""
    # on the system
    LIST_CATALOG = "system:catalog:list"
    """Ask for the catalog at all; what it shows is filtered by VIEW."""
    ADMINISTER = "system:system:administer"
