"""Talking to one LDAP server, by ldap3: the one file that knows it.

Rules:
1. Nothing counts as done unless the server says success: ldap3 passes several other results over in silence.
2. Messages, entries, values and the time are bounded, here, since ldap3 bounds neither a message nor the whole time.
3. Referrals are not followed, nor aliases: they would carry passwords to places that nobody named.
4. What came before TLS began is not believed after it.

Sources: RFC 4511 (operations and their results), RFC 4513 (binds), RFC 2696 (pages), MS-ADTS 3.1.1.3.1.3.3 (ranges).
"""

import contextlib
import re
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from ldap3 import ANONYMOUS, DEREF_NEVER, NONE, SIMPLE, SYNC, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException, LDAPInvalidFilterError, LDAPSocketReceiveError
from ldap3.strategy.base import BaseStrategy
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import parse_dn

from lading.accounts.directories import DirectoryInvalidError, DirectoryUnavailableError
from lading.accounts.directories.ldap_settings import Domain
from lading.core.errors import LadingError

Scope = Literal["BASE", "LEVEL", "SUBTREE"]
_CONNECT_SECONDS, _SILENCE_SECONDS = 5, 15  # the second: between two pieces of an answer
_PAGE = 1000  # Active Directory gives no more at once
_ENTRIES = 1_000_000  # of one search: more is a mistake in the settings
_MESSAGE_BYTES = 64 * 1024 * 1024  # a group of half a million
_CHUNK_BYTES = 64 * 1024
_VALUE_CHARACTERS = 4096
_SEQUENCE = 0x30
_HEAD_BYTES = 10
_PAGED = "1.2.840.113556.1.4.319"
_ESCAPED = re.compile(rb"\\([0-9a-fA-F]{2})|\\(.)", re.DOTALL)

# Result codes. Source: RFC 4511, appendix A.
_SUCCESS, _SIZE_LIMIT, _REFERRAL, _NO_SUCH_OBJECT = 0, 4, 10, 32
_REFUSED = {19, 32, 34, 48, 49, 50, 53}  # of a bind: wrong, locked, must change its password, may not sign in
_WHY = {
    1: "the reader may not search there",  # operationsError: Active Directory's word for a search without a bind
    _SIZE_LIMIT: "its size limit is reached, so it gives only a part; switch paging on (noSimplePagination off), or narrow "
    "the search",
    8: "it wants an encrypted connection: switch startTLS on, or use ldaps://",
    _REFERRAL: "that lies on another server: add it to additionalDomains",
    12: "it does not give results in pages: switch noSimplePagination on",
    13: "it wants an encrypted connection: switch startTLS on, or use ldaps://",
    34: "that is no DN",
    50: "the reader may not search there",
}


class EntryUnknownError(DirectoryInvalidError):
    """There is no entry of that DN, or not for the reader."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: its DN, and values by the names of attributes in lower case."""

    dn: str
    values: Mapping[str, Sequence[str]]

    def first(self, attribute: str) -> str:
        """The attribute's first value, empty without one."""
        found = self.values.get(attribute.lower())
        return found[0][:_VALUE_CHARACTERS] if found else ""


class LdapSession:
    """A connection, bound as the server's reader. Units: `deadline` is a moment of the monotonic clock."""

    def __init__(self, domain: Domain, deadline: float) -> None:
        self._domain = domain
        reader, password = domain.reader, domain.password.get_secret_value()
        if reader and not password:
            raise DirectoryInvalidError(f"the reader {reader} has no password: give readerPassword")
        self._connection = _connect(domain, reader, password, deadline)
        try:
            _check_reader(domain, _bind(self._connection, domain))
        except BaseException:
            self.close()
            raise

    def search(self, base: str, wanted: str, attributes: Sequence[str], *, scope: Scope) -> Iterator[Entry]:
        """The entries found, in the server's order, as they come.

        Errors: EntryUnknownError without the base; DirectoryInvalidError, also for more than are sensible;
        DirectoryUnavailableError.
        """
        paged = scope != "BASE" and not self._domain.no_paging
        count, cookie = 0, None
        while True:
            result, found = self._ask(base, wanted, attributes, scope, cookie, paged=paged)
            for item in found:
                if item.get("type") != "searchResEntry":
                    continue  # a referral to another server, on the way
                count += 1
                if count > _ENTRIES:
                    raise DirectoryInvalidError(f"{base} gives more than {_ENTRIES:,} entries: narrow the search")
                yield _entry(item)
            # A part must never look as if the others had gone.
            if result["result"] != _SUCCESS:
                raise _failed(self._domain, base, result)
            cookie = ((result.get("controls") or {}).get(_PAGED) or {}).get("value", {}).get("cookie")
            if not cookie:
                return

    def _ask(
        self, base: str, wanted: str, attributes: Sequence[str], scope: Scope, cookie: bytes | None, *, paged: bool
    ) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        connection = self._connection
        try:
            connection.search(
                base,
                wanted,
                scope,
                dereference_aliases=DEREF_NEVER,
                attributes=list(attributes) or ["1.1"],  # which asks for none. Source: RFC 4511, 4.5.1.8
                paged_size=_PAGE if paged else None,
                paged_cookie=cookie,
            )
        except LDAPInvalidFilterError as error:
            raise DirectoryInvalidError(f"{wanted[:200]} is no filter: {_words(error)}") from error
        except (LDAPException, OSError) as error:
            raise DirectoryUnavailableError(f"{self._domain.url}: {_words(error)}") from error
        return connection.result, connection.response or []

    def values(self, dn: str, attribute: str) -> list[str]:
        """All values of an entry's attribute; Active Directory gives long ones in parts. Errors: as `search`."""
        values: list[str] = []
        while True:
            asked = f"{attribute};range={len(values)}-*" if values else attribute
            entries = list(self.search(dn, "(objectClass=*)", [asked], scope="BASE"))
            told = entries[0].values if entries else {}
            part = next((key for key in told if key.startswith(f"{attribute.lower()};range=")), attribute.lower())
            found = told.get(part, ())
            values += found
            if not found or ";range=" not in part or part.endswith("-*"):
                return values

    def close(self) -> None:
        """The connection is given back."""
        _close(self._connection)


def _check_reader(domain: Domain, result: Mapping[str, Any]) -> None:
    if result["result"] in _REFUSED:
        raise DirectoryInvalidError(f"{domain.url} refuses the reader {domain.reader}: check readerDN, readerPassword")
    if result["result"] != _SUCCESS:
        raise _failed(domain, f"the reader {domain.reader}", result)


def can_bind(domain: Domain, dn: str, password: str, deadline: float) -> bool:
    """True when the server lets the entry in by the password, which is not empty.

    Errors: DirectoryUnavailableError, DirectoryInvalidError when it says neither yes nor no.
    """
    if not dn or not password:
        return False  # such a bind succeeds for everyone. Source: RFC 4513, 5.1.2
    connection = _connect(domain, dn, password, deadline)
    try:
        result = _bind(connection, domain)
    finally:
        _close(connection)
    if result["result"] != _SUCCESS and result["result"] not in _REFUSED:
        raise _failed(domain, "signing in", result)
    return bool(result["result"] == _SUCCESS)


def _close(connection: Connection) -> None:
    with contextlib.suppress(LDAPException, OSError, AttributeError):
        connection.unbind()
    if connection.socket is not None:
        connection.socket.close()  # ldap3 drops a socket whose certificate it refused


def _connect(domain: Domain, user: str, password: str, deadline: float) -> Connection:
    url = urlsplit(domain.url)
    if url.hostname is None:
        raise DirectoryInvalidError("there is no serverURL")
    try:
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
            user=user or None,
            # As bytes, since servers compare bytes; ldap3 would refuse some characters of a text.
            password=password.encode() or None,  # type: ignore[arg-type]  # the stubs know texts only
            authentication=SIMPLE if user else ANONYMOUS,
            client_strategy=SYNC,
            auto_referrals=False,
            check_names=False,
            receive_timeout=_SILENCE_SECONDS,
            return_empty_attributes=False,
            read_only=True,
        )
    except (LDAPException, OSError, ValueError) as error:
        raise DirectoryUnavailableError(f"{domain.url}: {_words(error)}") from error
    try:
        _read_bounded(connection, deadline)
        connection.open(read_server_info=False)
        if domain.start_tls and url.scheme == "ldap":
            _start_tls(connection)
    except (LDAPException, OSError) as error:
        _close(connection)
        raise DirectoryUnavailableError(f"{domain.url}: {_words(error)}") from error
    return connection


def _start_tls(connection: Connection) -> None:
    if not connection.start_tls(read_server_info=False) or not connection.tls_started:
        raise LDAPSocketReceiveError("StartTLS did not succeed")
    receiver: _Receiver = connection.strategy.receiving
    if receiver.has_more:
        raise LDAPSocketReceiveError("it said more before TLS began than it was asked")  # rule 4


def _bind(connection: Connection, domain: Domain) -> Mapping[str, Any]:
    """The result of binding as the connection's user."""
    try:
        connection.bind(read_server_info=False)
    except (LDAPException, OSError) as error:
        raise DirectoryUnavailableError(f"{domain.url}: {_words(error)}") from error
    result: Mapping[str, Any] = connection.result
    return result


class _Receiver:
    """Whole messages from the connection's socket, in place of ldap3's own way."""

    def __init__(self, connection: Connection, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._pending = bytearray()

    @property
    def has_more(self) -> bool:
        return bool(self._pending)

    def __call__(self) -> list[bytes]:
        while not (messages := self._whole()):
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise LDAPSocketReceiveError("it took too long")
            try:
                self._connection.socket.settimeout(min(left, _SILENCE_SECONDS))
                data = self._connection.socket.recv(_CHUNK_BYTES)
            except (OSError, AttributeError) as error:
                raise LDAPSocketReceiveError(f"nothing came: {error}") from error
            if not data:
                raise LDAPSocketReceiveError("it closed the connection")
            self._pending += data
        return messages

    def _whole(self) -> list[bytes]:
        messages, start = [], 0
        while start < len(self._pending):
            head = self._pending[start : start + _HEAD_BYTES]
            size = BaseStrategy.compute_ldap_message_size(head)  # type: ignore[no-untyped-call]  # so in the stubs
            if self._pending[start] != _SEQUENCE or size > _MESSAGE_BYTES:
                raise LDAPSocketReceiveError("it does not speak LDAP, or says too much at once")
            if size < 0 or start + size > len(self._pending):
                break
            messages.append(bytes(self._pending[start : start + size]))
            start += size
        del self._pending[:start]
        return messages


def _read_bounded(connection: Connection, deadline: float) -> None:
    strategy = connection.strategy
    decoded = strategy._get_response  # noqa: SLF001 — ldap3 has no hook for it

    def get_response(message_id: int, timeout: float | None) -> Any:
        try:
            return decoded(message_id, timeout)
        except (LookupError, ValueError, TypeError) as error:  # of its decoder, over what is no LDAP
            raise LDAPSocketReceiveError("it does not speak LDAP") from error

    strategy.receiving = _Receiver(connection, deadline)
    strategy._get_response = get_response  # noqa: SLF001 — see above


def _failed(domain: Domain, what: str, result: Mapping[str, Any]) -> LadingError:
    code = result["result"]
    if code == _NO_SUCH_OBJECT:
        return EntryUnknownError(f"{domain.url} has no {what}, or does not show it to the reader")
    if code in _WHY:
        return DirectoryInvalidError(f"{domain.url} refuses {what}: {_WHY[code]}")
    told = str(result.get("message") or "")[:200]
    return DirectoryUnavailableError(f"{domain.url}: {what}: {result.get('description')} {told}".strip())


def _words(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def _entry(item: Mapping[str, Any]) -> Entry:
    raw: Mapping[str, Sequence[bytes]] = item.get("raw_attributes", {})
    values = {key.lower(): [value.decode("utf-8", "replace") for value in found] for key, found in raw.items()}
    return Entry(item["dn"], values)


def escaped(text: str) -> str:
    """The text as a value in a filter. Source: RFC 4515, part 3."""
    quoted: str = escape_filter_chars(text)
    return quoted


def normal_dn(dn: str) -> str:
    """One spelling of a DN: lower case, no spaces around its parts, one way of escaping. What is no DN is only lowered."""
    try:
        parts = parse_dn(dn, strip=True)
    except (LDAPException, IndexError):
        return dn.strip().lower()
    return "".join(
        f"{key.strip()}={_plain(value.strip())}{separator.strip()}" for key, value, separator in parts
    ).lower()


def _plain(value: str) -> str:
    if "\\" not in value:
        return value
    plain = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else found[2], value.encode())
    return re.sub(r"([,+\\])", r"\\\1", plain.decode("utf-8", "replace"))
