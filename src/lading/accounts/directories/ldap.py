"""LDAP as a directory, Active Directory included.

A login is a bind as the entry that was found. Searches run in order: of several users of one name the first found has it, when
signing in as well as in a sync.

Sources: DTR reference 1.6, "LDAP behaviour"; MS-ADTS 2.2.16 (userAccountControl), 3.1.1.1.6 (accountExpires).
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from lading.accounts.directories import (
    DirectoryInvalidError,
    DirectoryUser,
    LeftOut,
    MemberSyncOptions,
    first_of_each_name,
)
from lading.accounts.directories.ldap_session import (
    Entry,
    EntryUnknownError,
    LdapSession,
    Scope,
    can_bind,
    escaped,
    normal_dn,
)
from lading.accounts.directories.ldap_settings import Domain, LdapSettings, MemberSync, UserSearch
from lading.core.errors import LadingError
from lading.core.names import check_account_name

_GROUPS = 10_000  # nested ones of one group
_NAME_CHARACTERS, _DN_CHARACTERS, _FULL_NAME_CHARACTERS = 100, 512, 255
_FORBIDDEN = frozenset("/\\[]:;|=,+*?<>'\"")  # Source: DTR reference 1.6, "Valid usernames with LDAP"
_ADDRESSES = frozenset({"userprincipalname", "mail"})  # attributes that hold name@domain
_DISABLED = 2  # ACCOUNTDISABLE
_LOCKED_FOR_GOOD = "000001010000Z"  # pwdAccountLockedTime of OpenLDAP's ppolicy overlay
_STATE = ("userAccountControl", "accountExpires", "nsAccountLock", "pwdAccountLockedTime")
_FILETIME_EPOCH = 11_644_473_600  # seconds from 1601 to 1970
_NEVER = frozenset({0, 0x7FFFFFFFFFFFFFFF})


class LdapDirectory:
    """`Directory` over LDAP, for one question or one sync: made for it, and closed after it.

    Units: `seconds` is what all of it may take.
    """

    def __init__(self, settings: LdapSettings, now: datetime, *, seconds: float = 30) -> None:
        self._settings = settings
        self._now = now
        self._deadline = time.monotonic() + seconds
        self._sessions: dict[Domain, LdapSession] = {}

    # --- Directory ---

    def find(self, name: str) -> DirectoryUser | None:
        user = self._first(name)
        if user is None or user.name == name.lower():
            return user
        # Of another spelling, such as a mail address, the account is whose it would be by its own name.
        holder = self._first(user.name)
        return user if holder is not None and normal_dn(holder.id) == normal_dn(user.id) else None

    def check(self, user: DirectoryUser, password: str) -> bool:
        if not user.is_active:
            return False
        return can_bind(self._domain_of(user.id), user.id, password, self._deadline)

    def knows(self, user_id: str, name: str) -> bool:
        for search in self._settings.searches:
            if _lies_in(user_id, search.base, subtree=search.subtree):
                found = self._entries(search, _combined(search.filter), base=user_id)
                if any(user.name == name for user in found if self._is_in_group(search, user.id)):
                    return True
        return False

    def iter_users(self) -> Iterator[DirectoryUser | LeftOut]:
        return first_of_each_name(self._iter_all())

    def members(self, group: MemberSyncOptions) -> frozenset[str]:
        options = _checked(group)
        if options.select_group:
            return self._group_members(options.group, options.member_attribute, iterate=False)
        found = self._session(options.base).search(
            options.base, _combined(options.filter), [], scope=_scope(subtree=options.subtree)
        )
        return frozenset(normal_dn(entry.dn) for entry in found)

    def is_member(self, group: MemberSyncOptions, user: DirectoryUser) -> bool:
        options = _checked(group)
        if options.select_group:
            return self._holds(options.group, options.member_attribute, user.id)
        if not _lies_in(user.id, options.base, subtree=options.subtree):
            return False
        found = self._session(user.id).search(user.id, _combined(options.filter), [], scope="BASE")
        return next(found, None) is not None

    def explain(self, name: str) -> list[str]:
        lines = []
        for number, search in enumerate(self._settings.searches, 1):
            told = list(self._explain(search, name))
            lines += [f"search {number}, in {search.base}: {line}" for line in told]
        return lines or ["there is no user search: userSearchConfigs is empty"]

    def same_id(self, user_id: str) -> str:
        return normal_dn(user_id)

    def close(self) -> None:
        while self._sessions:
            self._sessions.popitem()[1].close()

    # --- users ---

    def _first(self, name: str) -> DirectoryUser | None:
        """The first user whose name it is; else the first one whom another value, or an address, makes known by it."""
        other = None
        for search in self._settings.searches:
            for wanted in _filters_for(search, name):
                for user in self._entries(search, wanted):
                    is_it = user.name == name.lower()
                    if (is_it or other is None) and self._is_in_group(search, user.id):
                        if is_it:
                            return user
                        other = user
        return other

    def _entries(self, search: UserSearch, wanted: str, *, base: str | None = None) -> list[DirectoryUser]:
        where = base or search.base
        scope = _scope(subtree=search.subtree) if base is None else "BASE"
        try:
            found = list(self._session(where).search(where, wanted, _attributes(search), scope=scope))
        except EntryUnknownError:
            if base is None:
                raise
            return []
        users = (self._user(search, entry) for entry in found)
        return [user for user in users if isinstance(user, DirectoryUser)]

    def _iter_all(self) -> Iterator[DirectoryUser | LeftOut]:
        for search in self._settings.searches:
            members = None
            if search.match_group:
                members = self._group_members(search.group, search.member_attribute, iterate=search.iterate)
            wanted = _combined(search.filter, f"({search.name_attribute}=*)")
            scope = _scope(subtree=search.subtree)
            for entry in self._session(search.base).search(search.base, wanted, _attributes(search), scope=scope):
                if members is None or normal_dn(entry.dn) in members:
                    yield self._user(search, entry)

    def _user(self, search: UserSearch, entry: Entry) -> DirectoryUser | LeftOut:
        told = entry.first(search.name_attribute)
        if not told:
            return LeftOut(entry.dn, f"it has no {search.name_attribute}")
        name = told.partition("@")[0].lower()  # of a principal's or mail name the part that can be an account's
        if len(told) > _NAME_CHARACTERS or _FORBIDDEN & set(told) or not told.isprintable() or " " in told:
            return LeftOut(entry.dn, f"{told[:_NAME_CHARACTERS]!r} has characters that names can't have")
        try:
            check_account_name(name)
        except LadingError as error:
            return LeftOut(entry.dn, error.message)
        if len(entry.dn) > _DN_CHARACTERS:
            return LeftOut(entry.dn[:_DN_CHARACTERS], f"its DN is longer than {_DN_CHARACTERS} characters")
        full_name = entry.first(search.full_name_attribute) if search.full_name_attribute else ""
        full_name = full_name.replace("\0", "")[:_FULL_NAME_CHARACTERS]
        return DirectoryUser(entry.dn, name, full_name, is_active=is_active(entry, self._now))

    def _explain(self, search: UserSearch, name: str) -> Iterator[str]:
        try:
            by_name = list(_filters_for(search, name, filtered=False))
            scope = _scope(subtree=search.subtree)
            session = self._session(search.base)
            found = [
                entry
                for wanted in by_name
                for entry in session.search(search.base, wanted, _attributes(search), scope=scope)
            ]
            if not found:
                yield f"no entry has {' or '.join(by_name)}"
            for entry in found:
                yield f"{entry.dn}: {self._explain_entry(search, entry)}"
        except LadingError as error:
            yield error.message

    def _explain_entry(self, search: UserSearch, entry: Entry) -> str:
        user = self._user(search, entry)
        if isinstance(user, LeftOut):
            return user.why
        if not self._entries(search, _combined(search.filter), base=entry.dn):
            return f"the filter {search.filter} leaves it out"
        if not self._is_in_group(search, entry.dn):
            return f"it is not in the group {search.group}"
        return "found" if user.is_active else "disabled or expired"

    # --- groups ---

    def _is_in_group(self, search: UserSearch, dn: str) -> bool:
        if not search.match_group:
            return True
        if not search.iterate:
            return self._holds(search.group, search.member_attribute, dn)
        return normal_dn(dn) in self._group_members(search.group, search.member_attribute, iterate=True)

    def _holds(self, group: str, attribute: str, dn: str) -> bool:
        wanted = f"({attribute}={escaped(dn)})"
        with _group_named(group):
            return next(self._session(group).search(group, wanted, [], scope="BASE"), None) is not None

    def _group_members(self, group: str, attribute: str, *, iterate: bool) -> frozenset[str]:
        """DNs in the group, in one spelling; with `iterate` those in the groups that are in it, too."""
        with _group_named(group):
            found = self._session(group).values(group, attribute)
        members = {normal_dn(dn): dn for dn in found}
        waiting, seen = list(members.items()) if iterate else [], {normal_dn(group)}
        groups = 0
        while waiting:
            normal, one = waiting.pop()
            if normal in seen:
                continue  # groups may be in one another
            seen.add(normal)
            try:
                inner = {normal_dn(dn): dn for dn in self._session(one).values(one, attribute)}
            except EntryUnknownError:
                continue
            groups += bool(inner)
            if groups > _GROUPS:
                raise DirectoryInvalidError(f"{group} holds more than {_GROUPS} groups: narrow it")
            waiting += inner.items()
            members |= inner
        return frozenset(members)

    # --- servers ---

    def _domain_of(self, dn: str) -> Domain:
        """The server of a DN: that of the longest domain it ends with, else the default one. Source: DTR reference 1.6."""
        fitting = [one for one in self._settings.additional if _lies_in(dn, one.domain, subtree=True)]
        return max(fitting, key=lambda one: len(normal_dn(one.domain)), default=self._settings)

    def _session(self, dn: str) -> LdapSession:
        domain = self._domain_of(dn)
        if domain not in self._sessions:
            self._sessions[domain] = LdapSession(domain, self._deadline)
        return self._sessions[domain]


class _group_named:  # noqa: N801 — reads as the statement it is
    """Says which group it is that is not there."""

    def __init__(self, group: str) -> None:
        self._group = group

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EntryUnknownError):
            raise DirectoryInvalidError(
                f"there is no group {self._group}: check the DN, and that the reader sees it"
            ) from error


def _checked(group: MemberSyncOptions) -> MemberSync:
    if not isinstance(group, MemberSync):
        raise TypeError("LDAP selects members by a MemberSync")
    return group


def _lies_in(dn: str, base: str, *, subtree: bool) -> bool:
    inner, outer = normal_dn(dn), normal_dn(base)
    if subtree and (inner == outer or not outer):
        return True
    if not inner.endswith(f",{outer}"):
        return False
    return subtree or "," not in inner.removesuffix(f",{outer}").replace("\\,", "")


def _scope(*, subtree: bool) -> Scope:
    return "SUBTREE" if subtree else "LEVEL"


def _attributes(search: UserSearch) -> list[str]:
    return [name for name in (search.name_attribute, search.full_name_attribute, *_STATE) if name]


def _combined(*filters: str) -> str:
    """All of the filters; entries of any kind when there is none."""
    given = [text if text.startswith("(") else f"({text})" for text in map(str.strip, filters) if text]
    match given:
        case []:
            return "(objectClass=*)"
        case [one]:
            return one
        case _:
            return f"(&{''.join(given)})"


def _filters_for(search: UserSearch, name: str, *, filtered: bool = True) -> Iterator[str]:
    """What finds the user who types `name`: by the attribute, or by the whole principal name where that has an @."""
    also, typed, attribute = search.filter if filtered else "", escaped(name), search.name_attribute
    if attribute.lower() in _ADDRESSES and "@" not in name:
        yield _combined(also, f"({attribute}={typed}@*)")
        return
    yield _combined(also, f"({attribute}={typed})")
    if "@" in name and attribute.lower() != "userprincipalname":
        yield _combined(also, f"(userPrincipalName={typed})")


def is_active(entry: Entry, now: datetime) -> bool:
    """False for what the directory calls disabled, expired, or locked for good; those without such attributes are active."""
    control, expires, lock, locked_at = (entry.first(name) for name in _STATE)
    if lock.lower() == "true" or locked_at == _LOCKED_FOR_GOOD:
        return False
    if control.isdigit() and int(control) & _DISABLED:
        return False
    if not expires.isdigit() or int(expires) in _NEVER:
        return True
    return int(expires) / 10_000_000 - _FILETIME_EPOCH > now.astimezone(UTC).timestamp()
