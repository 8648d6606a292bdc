"""LDAP, Active Directory included, by ldap3: the one file that knows it.

A login is a bind as the entry that was found. Referrals are not followed: they would carry passwords to places that nobody
named. Names and DNs go into filters escaped; entries, their values and the time are bounded.

Sources: RFC 4511-4515; DTR reference 1.6, "LDAP behaviour"; MS-ADTS 2.2.16 (userAccountControl), 3.1.1.1.6 (accountExpires).
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from ldap3 import ANONYMOUS, BASE, NONE, SIMPLE, SYNC, Connection, Server, Tls
from ldap3.core.exceptions import (
    LDAPException,
    LDAPInvalidCredentialsResult,
    LDAPInvalidDnError,
    LDAPInvalidDNSyntaxResult,
    LDAPInvalidFilterError,
    LDAPNoSuchObjectResult,
    LDAPOperationResult,
    LDAPSizeLimitExceededResult,
)
from ldap3.core.results import RESULT_REFERRAL, RESULT_SIZE_LIMIT_EXCEEDED
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import parse_dn

from lading.accounts.directories import (
    DirectoryInvalidError,
    DirectoryUnavailableError,
    DirectoryUser,
    LeftOut,
    MemberSyncOptions,
    first_of_each_name,
)
from lading.accounts.directories.ldap_settings import Domain, LdapSettings, MemberSync, UserSearch
from lading.core.errors import LadingError
from lading.core.names import check_account_name

_CONNECT_SECONDS, _ANSWER_SECONDS = 5, 30
_PAGE = 1000
_ENTRIES = 1_000_000  # of one search: more is a mistake in the settings
_VALUE_CHARACTERS = 4096
_GROUPS = 10_000  # nested ones of one group
_NAME_CHARACTERS = 100
_FORBIDDEN = frozenset("/\\[]:;|=,+*?<>'\"")  # Source: DTR reference 1.6, "Valid usernames with LDAP"
_DISABLED = 2  # ACCOUNTDISABLE
_STATE = ("userAccountControl", "accountExpires")
_FILETIME_EPOCH = 11_644_473_600  # seconds from 1601 to 1970
_NEVER = frozenset({0, 0x7FFFFFFFFFFFFFFF})
_Scope = Literal["BASE", "LEVEL", "SUBTREE"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: its DN, and values by the names of attributes in lower case."""

    dn: str
    values: Mapping[str, Sequence[str]]

    def first(self, attribute: str) -> str:
        """The attribute's first value, empty without one."""
        found = self.values.get(attribute.lower())
        return found[0][:_VALUE_CHARACTERS] if found else ""


@dataclass(frozen=True, slots=True)
class _Session:
    """A connection that is bound, and whether its server gives results in pages."""

    connection: Connection
    is_paged: bool


class LdapDirectory:
    """`Directory` over LDAP. `clock` gives the moment, for accounts that expire."""

    def __init__(self, settings: LdapSettings, now: datetime) -> None:
        self._settings = settings
        self._now = now

    # --- Directory ---

    def find(self, name: str) -> DirectoryUser | None:
        for search in self._settings.searches:
            for wanted in _filters_for(search, name):
                with self._reading(search.base) as session:
                    found = [
                        user
                        for entry in _search(session, search.base, wanted, _attributes(search), subtree=search.subtree)
                        if isinstance(user := self._user(search, entry), DirectoryUser)
                    ]
                if found and self._is_in_group(search, found[0]):
                    return found[0]
        return None

    def check(self, user: DirectoryUser, password: str) -> bool:
        if not password or not user.is_active:
            return False  # a bind without a password succeeds for everyone. Source: RFC 4513, 5.1.2
        try:
            with self._connected(user.id, reader=user.id, password=password):
                return True
        except LDAPInvalidCredentialsResult:
            return False
        except (
            LDAPOperationResult
        ) as error:  # told on top of a right or a wrong password: locked, must change, not allowed
            if error.description in {"unwillingToPerform", "constraintViolation", "inappropriateAuthentication"}:
                return False
            raise _translated(error) from error

    def iter_users(self) -> Iterator[DirectoryUser | LeftOut]:
        return first_of_each_name(self._iter_all())

    def members(self, group: MemberSyncOptions) -> frozenset[str]:
        if not isinstance(group, MemberSync):
            raise TypeError("LDAP selects members by a MemberSync")
        if group.select_group:
            return self._group_members(group.group, group.member_attribute, iterate=False)
        wanted = _combined(group.filter)
        with self._reading(group.base) as session:
            found = _search(session, group.base, wanted, [], subtree=group.subtree)
            return frozenset(self.same_id(entry.dn) for entry in found)

    def same_id(self, user_id: str) -> str:
        return normal_dn(user_id)

    # --- users ---

    def _iter_all(self) -> Iterator[DirectoryUser | LeftOut]:
        for search in self._settings.searches:
            members = None
            if search.match_group:
                members = self._group_members(search.group, search.member_attribute, iterate=search.iterate)
            wanted = _combined(search.filter, f"({search.name_attribute}=*)")
            with self._reading(search.base) as session:
                for entry in _search(session, search.base, wanted, _attributes(search), subtree=search.subtree):
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
        if len(entry.dn) > 512:  # noqa: PLR2004 — accounts.directory_id
            return LeftOut(entry.dn[:512], "its DN is longer than 512 characters")
        full_name = entry.first(search.full_name_attribute) if search.full_name_attribute else ""
        return DirectoryUser(entry.dn, name, full_name[:255], is_active=is_active(entry, self._now))

    # --- groups ---

    def _is_in_group(self, search: UserSearch, user: DirectoryUser) -> bool:
        if not search.match_group:
            return True
        members = self._group_members(search.group, search.member_attribute, iterate=search.iterate)
        return normal_dn(user.id) in members

    def _group_members(self, group: str, attribute: str, *, iterate: bool) -> frozenset[str]:
        """DNs in the group, in one spelling; with `iterate` those in the groups that are in it, too."""
        members, waiting, seen = set[str](), [group], set[str]()
        while waiting:
            one = waiting.pop()
            if normal_dn(one) in seen:
                continue  # groups may be in one another
            seen.add(normal_dn(one))
            if len(seen) > _GROUPS:
                raise DirectoryInvalidError(f"{group} holds more than {_GROUPS} groups: narrow it")
            try:
                found = self._values(one, attribute)
            except LDAPNoSuchObjectResult as error:
                if one == group:
                    raise DirectoryInvalidError(
                        f"there is no group {group}: check the DN, and that the reader sees it"
                    ) from error
                continue
            members.update(normal_dn(dn) for dn in found)
            if iterate:
                waiting += found
        return frozenset(members)

    def _values(self, dn: str, attribute: str) -> list[str]:
        """All values of an entry's attribute; Active Directory gives long ones in parts. Source: MS-ADTS 3.1.1.3.1.3.3."""
        values: list[str] = []
        with self._reading(dn) as session:
            start = 0
            while True:
                asked = attribute if start == 0 else f"{attribute};range={start}-*"
                entries = list(_search(session, dn, "(objectClass=*)", [asked], scope="BASE"))
                if not entries:
                    return values
                told = entries[0].values
                part = next((key for key in told if key.startswith(f"{attribute.lower()};range=")), None)
                found = told.get(part or attribute.lower(), ())
                values += found
                if part is None or part.endswith("-*") or not found:
                    return values
                start = len(values)

    # --- connections ---

    def _domain_of(self, dn: str) -> Domain:
        """The server of a DN: that of the longest domain it ends with, else the default one. Source: DTR reference 1.6."""
        wanted, best = normal_dn(dn), (0, self._settings)  # type: tuple[str, tuple[int, Domain]]
        for domain in self._settings.additional:
            suffix = normal_dn(domain.domain)
            if (wanted == suffix or wanted.endswith(f",{suffix}")) and len(suffix) > best[0]:
                best = (len(suffix), domain)
        return best[1]

    @contextmanager
    def _reading(self, dn: str) -> Iterator[_Session]:
        domain = self._domain_of(dn)
        try:
            with self._connected(dn, reader=domain.reader, password=domain.password.get_secret_value()) as connection:
                yield _Session(connection, is_paged=not domain.no_paging)
        except LDAPNoSuchObjectResult:
            raise
        except LDAPInvalidCredentialsResult as error:
            raise DirectoryInvalidError(
                f"{domain.url} refuses the reader {domain.reader}: check readerPassword"
            ) from error
        except LDAPException as error:
            raise _translated(error) from error

    @contextmanager
    def _connected(self, dn: str, *, reader: str, password: str) -> Iterator[Connection]:
        domain = self._domain_of(dn)
        url = urlsplit(domain.url)
        if url.hostname is None:
            raise DirectoryInvalidError("there is no serverURL")
        tls = Tls(
            validate=ssl.CERT_NONE if domain.skip_verification else ssl.CERT_REQUIRED,
            ca_certs_data=domain.root_certificates or None,
            valid_names=[url.hostname],
        )
        server = Server(
            url.hostname,
            port=url.port or (636 if url.scheme == "ldaps" else 389),
            use_ssl=url.scheme == "ldaps",
            tls=tls,
            get_info=NONE,
            connect_timeout=_CONNECT_SECONDS,
        )
        connection = Connection(
            server,
            user=reader or None,
            password=password or None,
            authentication=SIMPLE if reader else ANONYMOUS,
            client_strategy=SYNC,
            auto_referrals=False,
            receive_timeout=_ANSWER_SECONDS,
            return_empty_attributes=False,
            raise_exceptions=True,
            read_only=True,
        )
        try:
            try:
                connection.open()
                if domain.start_tls and url.scheme == "ldap":
                    connection.start_tls()
                connection.bind()
            except LDAPOperationResult:
                raise
            except (LDAPException, OSError) as error:
                raise DirectoryUnavailableError(f"{domain.url}: {_words(error)}") from error
            yield connection
        finally:
            _close(connection)


def _close(connection: Connection) -> None:
    try:
        connection.unbind()
    except (LDAPException, OSError):
        pass  # it is broken already
    finally:
        if connection.socket is not None:  # ldap3 leaves that of a connection that failed
            connection.socket.close()


def _words(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def _translated(error: LDAPException) -> LadingError:
    if isinstance(error, LDAPSizeLimitExceededResult):
        return DirectoryInvalidError(
            "the directory gives only a part: its size limit is reached; switch paging on (noSimplePagination off), or narrow "
            "the search"
        )
    if isinstance(
        error, LDAPNoSuchObjectResult | LDAPInvalidDNSyntaxResult | LDAPInvalidDnError | LDAPInvalidFilterError
    ):
        return DirectoryInvalidError(f"the directory refuses the search: {_words(error)}")
    if isinstance(error, LDAPOperationResult) and error.description in {"insufficientAccessRights", "operationsError"}:
        return DirectoryInvalidError(f"the reader may not search there: {error.description}")
    return DirectoryUnavailableError(_words(error))


def _search(
    session: _Session,
    base: str,
    wanted: str,
    attributes: Sequence[str],
    *,
    subtree: bool = False,
    scope: Literal["BASE"] | None = None,
) -> Iterator[Entry]:
    """The entries found, as they come. Errors: LDAPException; DirectoryInvalidError for more than are sensible."""
    base = plain_dn(base)
    within: _Scope = scope or ("SUBTREE" if subtree else "LEVEL")
    # "1.1" asks for no attribute. Source: RFC 4511, 4.5.1.8
    asked = list(attributes) or ["1.1"]
    connection = session.connection
    if within == BASE or not session.is_paged:
        connection.search(base, wanted, within, attributes=asked, time_limit=_ANSWER_SECONDS)
        found: Iterator[Mapping[str, Any]] = iter(connection.response or [])
    else:
        found = connection.extend.standard.paged_search(
            base, wanted, within, attributes=asked, paged_size=_PAGE, generator=True
        )
    count = 0
    for item in found:
        if item.get("type") != "searchResEntry":
            continue  # a referral to another server
        count += 1
        if count > _ENTRIES:
            raise DirectoryInvalidError(f"{base} gives more than {_ENTRIES:,} entries: narrow the search")
        yield _entry(item)
    # Said besides: ldap3 raises neither for a referral nor for a part, and a part would look as if the others had gone.
    match connection.result["result"]:
        case 0:
            return
        case code if code == RESULT_REFERRAL:
            raise DirectoryInvalidError(f"{base} lies on another server: add it to additionalDomains")
        case code if code == RESULT_SIZE_LIMIT_EXCEEDED:
            raise LDAPSizeLimitExceededResult
        case _:
            raise DirectoryUnavailableError(f"the search of {base} ended with {connection.result['description']}")


def _entry(item: Mapping[str, Any]) -> Entry:
    raw: Mapping[str, Sequence[bytes]] = item.get("raw_attributes", {})
    values = {key.lower(): [value.decode("utf-8", "replace") for value in found] for key, found in raw.items()}
    return Entry(item["dn"], values)


def _attributes(search: UserSearch) -> list[str]:
    return [name for name in (search.name_attribute, search.full_name_attribute, *_STATE) if name]


def _combined(*filters: str) -> str:
    """All of the filters; entries of any kind when there is none."""
    given = [text if text.startswith("(") else f"({text})" for text in filters if text.strip()]
    match given:
        case []:
            return "(objectClass=*)"
        case [one]:
            return one
        case _:
            return f"(&{''.join(given)})"


def _filters_for(search: UserSearch, name: str) -> Iterator[str]:
    """What finds the user who types `name`: by the attribute, or by the whole principal name where that has an @."""
    typed = escape_filter_chars(name)
    if search.name_attribute.lower() in {"userprincipalname", "mail"} and "@" not in name:
        yield _combined(search.filter, f"({search.name_attribute}={typed}@*)")
        return
    yield _combined(search.filter, f"({search.name_attribute}={typed})")
    if "@" in name and search.name_attribute.lower() != "userprincipalname":
        yield _combined(search.filter, f"(userPrincipalName={typed})")


def is_active(entry: Entry, now: datetime) -> bool:
    """False for what Active Directory calls disabled or expired; others have no such attributes."""
    control, expires = (entry.first(name) for name in _STATE)
    if control.isdigit() and int(control) & _DISABLED:
        return False
    if not expires.isdigit() or int(expires) in _NEVER:
        return True
    return int(expires) / 10_000_000 - _FILETIME_EPOCH > now.astimezone(UTC).timestamp()


def plain_dn(dn: str) -> str:
    """The DN without spaces around its parts. What is no DN stays as it is."""
    try:
        parts = parse_dn(dn, strip=True)
    except LDAPException:
        return dn.strip()
    return "".join(f"{key.strip()}={value.strip()}{separator.strip()}" for key, value, separator in parts)


def normal_dn(dn: str) -> str:
    """One spelling of a DN: plain, and in lower case."""
    return plain_dn(dn).lower()
