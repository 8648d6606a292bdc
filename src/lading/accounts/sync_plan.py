"""What a sync with a directory changes: pure. Source: DTR reference 1.6, "LDAP behaviour".

Rules:
1. Only accounts that came from the directory are changed; one made here keeps its name, and who has it there is left out.
2. Users are made, or, with just-in-time accounts, only at their first sign-in.
3. Who is gone, or shut out there, becomes inactive; with just-in-time accounts sign-in itself sees to that.
4. Who was made inactive by a sync and is back becomes active; whom an administrator shut out stays so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lading.accounts.directories import DirectoryUser


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """An account as the sync sees it. `directory_id` is None for those that a sync found gone."""

    id: str
    name: str
    directory: str | None
    directory_id: str | None
    full_name: str
    is_active: bool


@dataclass(slots=True)
class UserPlan:
    """What is to be done with accounts. `lines` tell it, one an account, with reasons."""

    create: list[DirectoryUser] = field(default_factory=list)
    update: list[tuple[str, DirectoryUser]] = field(default_factory=list)  # account ids; all of them become active
    deactivate: list[KnownAccount] = field(default_factory=list)
    unchanged: int = 0
    lines: list[str] = field(default_factory=list)


def plan_users(
    found: Iterable[DirectoryUser], known: Mapping[str, KnownAccount], *, directory: str, just_in_time: bool
) -> UserPlan:
    """The plan for users found (each name once) and accounts known by their names."""
    plan, seen = UserPlan(), set[str]()
    for user in found:
        if not user.is_active:
            continue  # as good as gone
        seen.add(user.name)
        _plan_user(plan, user, known.get(user.name), directory, just_in_time=just_in_time)
    for account in known.values():
        if account.directory != directory or account.name in seen or just_in_time:
            continue
        if account.is_active:
            plan.deactivate.append(account)
            plan.lines.append(
                f"{account.name}: shut out, since the directory does not have it any more, or shut it out"
            )
    return plan


def _plan_user(
    plan: UserPlan, user: DirectoryUser, account: KnownAccount | None, directory: str, *, just_in_time: bool
) -> None:
    if account is None:
        if just_in_time:
            plan.unchanged += 1  # made at the first sign-in
        else:
            plan.create.append(user)
            plan.lines.append(f"{user.name}: made, for {user.id}")
    elif account.directory != directory:
        plan.lines.append(f"{user.name}: left out: an account of that name was made here; it is not {user.id}'s")
    elif not account.is_active and account.directory_id is not None:
        plan.lines.append(f"{user.name}: left alone: an administrator shut it out")
    elif (account.directory_id, account.full_name, account.is_active) != (user.id, user.full_name, True):
        plan.update.append((account.id, user))
        what = (
            "let in again, since it is back"
            if not account.is_active
            else "changed: full name or place in the directory"
        )
        plan.lines.append(f"{user.name}: {what}")
    else:
        plan.unchanged += 1


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """Whom to put somewhere, and whom to take out: account ids."""

    add: frozenset[str]
    remove: frozenset[str]


def plan_members(wanted: Iterable[str], present: Iterable[str]) -> MemberPlan:
    """From who is there now to who shall be."""
    shall, now = frozenset(wanted), frozenset(present)
    return MemberPlan(shall - now, now - shall)
