"""The one decision against a slow and obvious oracle, over worlds of users, teams, grants and visibilities."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as some

from lading.access import (
    ANONYMOUS,
    Grant,
    Namespace,
    Permission,
    Principal,
    Repository,
    Resource,
    Role,
    System,
    Team,
    Visibility,
    decide,
)

NAMESPACES = ("ada", "bob", "acme")
NAMES = ("app", "base-one", "deep/app")
PATTERNS = ("*", "acme/*", "acme/app", "acme/base-*", "acme/*app", "ada/*", "bob/deep/*")

grants_held = some.lists(
    some.builds(
        Grant,
        some.sampled_from(PATTERNS),
        some.one_of(
            some.sampled_from([role.permissions for role in Role]),
            some.frozensets(some.sampled_from(Permission), max_size=3),
        ),
    ),
    max_size=4,
).map(tuple)
principals = some.one_of(
    some.just(ANONYMOUS),
    some.builds(
        Principal,
        account_id=some.just("1"),
        name=some.sampled_from(["ada", "bob", "robot$acme+ci"]),
        is_admin=some.booleans(),
        is_active=some.booleans(),
        grants=grants_held,
        narrowing=some.none() | grants_held,
    ),
)
resources: some.SearchStrategy[Resource] = some.one_of(
    some.just(System()),
    some.builds(
        Repository,
        some.sampled_from(NAMESPACES),
        some.sampled_from(NAMES),
        some.none() | some.sampled_from(Visibility),
    ),
    some.builds(Namespace, some.sampled_from(NAMESPACES), some.booleans()),
    some.builds(Team, some.sampled_from(NAMESPACES), some.booleans(), some.booleans()),
)


@dataclass(frozen=True)
class Oracle:
    """DTR's tables, read aloud."""

    who: Principal
    permission: Permission
    what: Resource

    def given_by(self, grants: tuple[Grant, ...]) -> bool:
        for grant in grants:
            if isinstance(self.what, Repository):
                covered = fnmatchcase(f"{self.what.namespace}/{self.what.name}", grant.resource)
                if covered and (self.permission in grant.permissions or self.permission is Permission.VIEW):
                    return True
            if isinstance(self.what, Namespace | Team):
                name = self.what.name if isinstance(self.what, Namespace) else self.what.organization
                if grant.resource in {"*", f"{name}/*"} and self.permission in grant.permissions:
                    return True
        return False

    def owns(self) -> bool:
        match self.what:
            case Repository(namespace=owner) | Namespace(name=owner) | Team(organization=owner):
                return self.who.name == owner and self.permission in Role.OWNER.permissions
        return False

    def belongs(self) -> bool:
        if isinstance(self.what, Namespace):
            return self.what.is_member and self.permission is Permission.VIEW_NAMESPACE
        if isinstance(self.what, Team):
            sees = (self.what.is_member or self.what.is_admin) and self.permission is Permission.VIEW_TEAM
            return sees or (self.what.is_admin and self.permission is Permission.EDIT_TEAM)
        return False

    def says(self, *, anonymous_access: bool) -> bool:
        if not self.who.is_active:
            return False
        is_read = self.permission in {Permission.VIEW, Permission.PULL}
        if isinstance(self.what, Repository) and self.what.visibility is Visibility.PUBLIC and is_read:
            return anonymous_access or self.who.account_id is not None
        if self.who.account_id is None:
            return False
        if self.who.narrowing is not None and not self.given_by(self.who.narrowing):
            return False
        lists = isinstance(self.what, System) and self.permission is Permission.LIST_CATALOG
        return self.who.is_admin or lists or self.owns() or self.belongs() or self.given_by(self.who.grants)


@given(who=principals, permission=some.sampled_from(Permission), what=resources, anonymous=some.booleans())
def test_the_decision_agrees_with_the_oracle_in_every_world(
    who: Principal, permission: Permission, what: Resource, *, anonymous: bool
) -> None:
    expected = Oracle(who, permission, what).says(anonymous_access=anonymous)
    assert bool(decide(who, permission, what, anonymous_access=anonymous)) is expected


def test_levels_add_up_and_the_highest_wins() -> None:
    reads, writes = Grant("acme/*", Role.READ_ONLY.permissions), Grant("acme/app", Role.READ_WRITE.permissions)
    who = Principal("1", "ada", grants=(reads, writes))
    assert decide(who, Permission.PUSH, Repository("acme", "app", Visibility.PRIVATE))
    assert not decide(who, Permission.PUSH, Repository("acme", "other", Visibility.PRIVATE))
    assert decide(who, Permission.PULL, Repository("acme", "other", Visibility.PRIVATE))


def test_a_robots_name_gives_it_no_namespace() -> None:
    robot = Principal("1", "robot$acme+ci")
    for permission in Permission:
        assert not decide(robot, permission, Repository("acme", "ci", Visibility.PRIVATE))
        assert not decide(robot, permission, Namespace("acme"))


def test_a_refusal_says_why() -> None:
    decided = decide(ANONYMOUS, Permission.PUSH, Repository("ada", "app", Visibility.PUBLIC))
    assert not decided
    assert getattr(decided, "reason", "")
