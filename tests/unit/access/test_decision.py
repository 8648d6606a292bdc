"""The one decision against a slow and obvious oracle, over all small worlds."""

import itertools

from lading.access import (
    ANONYMOUS,
    Namespace,
    Permission,
    Principal,
    Repository,
    Resource,
    System,
    Visibility,
    decide,
)

PRINCIPALS = (
    ANONYMOUS,
    Principal("1", "ada"),
    Principal("2", "bob"),
    Principal("3", "root", is_admin=True),
    Principal("4", "ada", is_active=False),
    Principal("5", "root", is_admin=True, is_active=False),
)
RESOURCES: tuple[Resource, ...] = (
    System(),
    Namespace("ada"),
    *(Repository("ada", visibility) for visibility in (None, *Visibility)),
)


def oracle(who: Principal, permission: Permission, what: Resource, *, anonymous_access: bool) -> bool:
    """DTR's tables, read aloud."""
    is_read = permission in {Permission.VIEW, Permission.PULL}
    if not who.is_active:
        return False
    if who.is_admin:
        return True
    if isinstance(what, Repository) and what.visibility is Visibility.PUBLIC and is_read:
        return anonymous_access or who.account_id is not None
    if who.account_id is None:
        return False
    if isinstance(what, System):
        return permission is Permission.LIST_CATALOG
    owns = who.name == (what.namespace if isinstance(what, Repository) else what.name)
    return owns and permission not in {Permission.LIST_CATALOG, Permission.ADMINISTER}


def test_the_decision_agrees_with_the_oracle_in_every_world() -> None:
    for who, permission, what, anonymous in itertools.product(PRINCIPALS, Permission, RESOURCES, (True, False)):
        expected = oracle(who, permission, what, anonymous_access=anonymous)
        decided = decide(who, permission, what, anonymous_access=anonymous)
        assert bool(decided) is expected, (who, permission, what, anonymous)


def test_a_refusal_says_why() -> None:
    decided = decide(ANONYMOUS, Permission.PUSH, Repository("ada", Visibility.PUBLIC))
    assert not decided
    assert getattr(decided, "reason", "")
