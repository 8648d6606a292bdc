"""LDAP as a directory, against a real OpenLDAP: finding, checking, reading users and groups, and all that goes wrong."""

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lading.accounts.directories import (
    DirectoryInvalidError,
    DirectoryUnavailableError,
    DirectoryUser,
    LeftOut,
    ldap_session,
)
from lading.accounts.directories.ldap import LdapDirectory, is_active
from lading.accounts.directories.ldap_session import Entry, normal_dn
from lading.accounts.directories.ldap_settings import LdapSettings, MemberSync
from support.openldap import (
    GROUPS,
    PASSWORD,
    PEOPLE,
    READER,
    READER_PASSWORD,
    SUFFIX,
    OpenLdap,
    dn,
    group,
    needs_openldap,
    person,
)

pytestmark = needs_openldap
NOW = datetime(2026, 6, 1, tzinfo=UTC)
COUNT = 300  # more than the server gives at once
OTHER = f"ou=other,{SUFFIX}"


@pytest.fixture(scope="module")
def server() -> Iterator[OpenLdap]:
    nested = [
        group("builders", [dn("user1"), dn("user2"), f"cn=inner,{GROUPS}"]),
        group("inner", [dn("user3"), f"cn=builders,{GROUPS}", f"cn=gone,{GROUPS}"]),
    ]
    other = (
        f"dn: {OTHER}\nobjectClass: organizationalUnit\nou: other\n\n"
        f"dn: uid=user1,{OTHER}\nobjectClass: inetOrgPerson\nuid: user1\ncn: Another\nsn: x\nuserPassword: others\n\n"
        f"dn: cn=odd one,{OTHER}\nobjectClass: inetOrgPerson\nuid: odd/one\ncn: odd one\nsn: x\n\n"
        f"dn: cn=spaced,{OTHER}\nobjectClass: inetOrgPerson\nuid: two words\ncn: spaced\nsn: x\n\n"
        f"dn: cn=upper,{OTHER}\nobjectClass: inetOrgPerson\nuid: Upper.Case\ncn: upper\nsn: x\nuserPassword: {PASSWORD}\n\n"
        f"dn: cn=elsewhere,{SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\ncn: elsewhere\n"
        f"ref: ldap://localhost:1/cn=elsewhere,{SUFFIX}\n\n"
    )
    running = OpenLdap([*(person(f"user{number}", number) for number in range(COUNT)), *nested, other])
    yield running
    running.close()


_open: list[LdapDirectory] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def opened(settings: LdapSettings) -> LdapDirectory:
    _open.append(LdapDirectory(settings, NOW, seconds=20))
    return _open[-1]


def directory(server: OpenLdap, *searches: dict[str, Any], **more: Any) -> LdapDirectory:
    document = {
        "serverURL": server.url,
        "readerDN": READER,
        "readerPassword": READER_PASSWORD,
        "userSearchConfigs": list(searches) or [{"baseDN": PEOPLE}],
        **more,
    }
    return opened(LdapSettings.model_validate(document))


def names(found: LdapDirectory) -> list[str]:
    return sorted(one.name for one in found.iter_users() if isinstance(one, DirectoryUser))


def test_a_user_is_found_and_signs_in_by_the_right_password_only(server: OpenLdap) -> None:
    asked = directory(server)
    user = asked.find("user7")
    assert user == DirectoryUser(dn("user7"), "user7", "Full Name 7")
    assert asked.check(user, PASSWORD)
    assert not asked.check(user, "wrong")
    assert asked.find("nobody") is None


def test_an_empty_password_is_never_right(server: OpenLdap) -> None:
    user = DirectoryUser(dn("user7"), "user7")
    assert not directory(server).check(user, "")
    assert not directory(server).check(DirectoryUser("", "user7"), "")


@pytest.mark.parametrize("name", ["*", "user*", "user7)(uid=*", "user7\0", "(", ")", "\\", "user7)(|(uid=*", "é" * 300])
def test_what_is_typed_is_no_filter(server: OpenLdap, name: str) -> None:
    assert directory(server).find(name) is None


def test_all_pages_of_users_come(server: OpenLdap) -> None:
    assert len(names(directory(server))) == COUNT


def test_a_part_of_the_users_is_an_error_and_not_all_of_them(server: OpenLdap) -> None:
    with pytest.raises(DirectoryInvalidError, match="size limit"):
        names(directory(server, noSimplePagination=True))


def test_what_can_be_no_account_is_left_out_with_the_reason(server: OpenLdap) -> None:
    found = list(directory(server, {"baseDN": OTHER}).iter_users())
    left = {one.id: one.why for one in found if isinstance(one, LeftOut)}
    assert sorted(left) == [f"cn=odd one,{OTHER}", f"cn=spaced,{OTHER}"]
    assert all("characters" in why for why in left.values())
    assert names(directory(server, {"baseDN": OTHER})) == ["upper.case", "user1"]


def test_of_two_users_of_one_name_the_first_search_has_it(server: OpenLdap) -> None:
    asked = directory(server, {"baseDN": OTHER}, {"baseDN": PEOPLE})
    user = asked.find("user1")
    assert user is not None
    assert user.id == f"uid=user1,{OTHER}"
    assert not asked.check(user, PASSWORD)
    left = [one for one in asked.iter_users() if isinstance(one, LeftOut) and one.id == dn("user1")]
    assert f"uid=user1,{OTHER}" in left[0].why


def test_a_filter_and_a_group_narrow_who_is_found(server: OpenLdap) -> None:
    filtered = directory(server, {"baseDN": PEOPLE, "filter": "(|(uid=user5)(uid=user6))"})
    assert names(filtered) == ["user5", "user6"]
    assert filtered.find("user7") is None
    of_group = {"baseDN": PEOPLE, "matchGroup": True, "matchGroupDN": f"cn=builders,{GROUPS}"}
    assert names(directory(server, of_group)) == ["user1", "user2"]
    assert directory(server, of_group).find("user3") is None
    nested = {**of_group, "matchGroupIterate": True}  # groups that are in one another, and one that is gone
    assert names(directory(server, nested)) == ["user1", "user2", "user3"]
    assert directory(server, nested).find("user3") is not None


def test_members_are_those_of_a_group_or_of_a_search(server: OpenLdap) -> None:
    asked = directory(server)
    chosen = MemberSync.model_validate({"enableSync": True, "groupDN": f"CN=Builders, {GROUPS}"})
    assert {dn("user1"), dn("user2")} < asked.members(chosen)
    search = {"enableSync": True, "selectGroupMembers": False, "searchBaseDN": PEOPLE, "searchFilter": "(uid=user9)"}
    assert asked.members(MemberSync.model_validate(search)) == {dn("user9")}
    missing = MemberSync.model_validate({"enableSync": True, "groupDN": f"cn=nothing,{GROUPS}"})
    with pytest.raises(DirectoryInvalidError, match="no group"):
        asked.members(missing)


def test_a_referral_is_not_followed(server: OpenLdap) -> None:
    with pytest.raises(DirectoryInvalidError, match="another server"):
        names(directory(server, {"baseDN": f"cn=elsewhere,{SUFFIX}"}))
    assert "user1" in names(directory(server, {"baseDN": SUFFIX}))  # one on the way is passed over


def test_a_search_goes_to_the_server_of_the_longest_domain(server: OpenLdap) -> None:
    nowhere = {"domain": PEOPLE, "serverURL": "ldap://localhost:1"}
    here = {"domain": SUFFIX, "serverURL": server.url, "readerDN": READER, "readerPassword": READER_PASSWORD}
    asked = directory(server, {"baseDN": OTHER}, additionalDomains=[nowhere, here], serverURL="ldap://localhost:2")
    assert asked.find("user1") is not None
    with pytest.raises(DirectoryUnavailableError, match="localhost:1"):
        directory(server, additionalDomains=[nowhere, here]).find("user1")


@pytest.mark.parametrize("how", ["ldaps", "start tls"])
def test_tls_is_checked_by_the_roots_given(server: OpenLdap, how: str) -> None:
    by = {"serverURL": server.ldaps_url} if how == "ldaps" else {"startTLS": True}
    trusted = directory(server, rootCerts=server.root_certificates, **by)
    user = trusted.find("user7")
    assert user is not None
    assert trusted.check(user, PASSWORD)
    with pytest.raises(DirectoryUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        directory(server, **by).find("user7")
    assert directory(server, tlsSkipVerify=True, **by).find("user7") is not None


# ldap3 drops the socket whose certificate it refuses, and the collector closes it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_of_another_host_is_refused(server: OpenLdap) -> None:
    elsewhere = server.ldaps_url.replace("localhost", "127.0.0.1")
    with pytest.raises(DirectoryUnavailableError):
        directory(server, serverURL=elsewhere, rootCerts=server.root_certificates).find("user7")


def test_a_wrong_reader_is_told_so_and_no_password_is_shown(server: OpenLdap) -> None:
    with pytest.raises(DirectoryInvalidError, match="refuses the reader") as caught:
        directory(server, readerPassword="not this one").find("user7")
    assert "not this one" not in str(caught.value)
    with pytest.raises(DirectoryInvalidError):
        names(directory(server, {"baseDN": "this is no DN"}))
    with pytest.raises(DirectoryInvalidError):
        names(directory(server, {"baseDN": PEOPLE, "filter": "(uid=("}))


class Cut:
    """A way to the server that ends after so many bytes: cut off, or silent."""

    def __init__(self, server: OpenLdap, after: int, *, silent: bool) -> None:
        self._target, self._after, self._silent = server.port, after, silent
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self._target))
            self._open += [client, upstream]
            threading.Thread(target=self._pass_on, args=(client, upstream, None), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(upstream, client, self._after), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, left: int | None) -> None:
        try:
            while data := source.recv(4096):
                if left is not None and len(data) > left:
                    target.sendall(data[:left])
                    if not self._silent:
                        target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)
                left = None if left is None else left - len(data)
        except OSError:
            return

    def close(self) -> None:
        for one in [self._socket, *self._open]:
            one.close()


@pytest.mark.parametrize("silent", [False, True], ids=["cut", "silent"])
def test_a_directory_that_stops_half_way_is_an_error(
    server: OpenLdap, monkeypatch: pytest.MonkeyPatch, *, silent: bool
) -> None:
    monkeypatch.setattr(ldap_session, "_SILENCE_SECONDS", 1)
    way = Cut(server, 10_000, silent=silent)
    try:
        with pytest.raises(DirectoryUnavailableError):
            names(directory(server, serverURL=f"ldap://localhost:{way.port}"))
    finally:
        way.close()


def test_active_directory_says_who_is_disabled_or_expired() -> None:
    def entry(control: str, expires: str) -> Entry:
        return Entry("x", {"useraccountcontrol": [control], "accountexpires": [expires]})

    passed, to_come = "133000000000000000", "139000000000000000"  # in 2022, in 2041
    assert is_active(entry("512", "0"), NOW)
    assert is_active(entry("512", "9223372036854775807"), NOW)
    assert is_active(entry("512", to_come), NOW)
    assert not is_active(entry("514", "0"), NOW)
    assert not is_active(entry("512", passed), NOW)
    assert is_active(Entry("x", {}), NOW)


@pytest.mark.parametrize(
    ("one", "other"), [("CN=A B, DC=Lab,dc=test", "cn=a b,dc=lab,dc=test"), ("uid=x+cn=y,dc=z", "UID=x+CN=y, dc=z")]
)
def test_a_dn_has_one_spelling(one: str, other: str) -> None:
    assert normal_dn(one) == normal_dn(other)
