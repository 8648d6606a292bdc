"""LDAP as a directory, against a real Active Directory domain (Samba's)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lading.accounts.directories import DirectoryUser
from lading.accounts.directories.ldap import LdapDirectory
from lading.accounts.directories.ldap_settings import LdapSettings, MemberSync
from support.samba import (
    ADMIN_PASSWORD,
    ADMINISTRATOR,
    BASE,
    PASSWORD,
    USERS,
    ActiveDirectory,
    AdGroup,
    AdUser,
    why_not,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can run"),
]
COUNT = 50
LIVING = "(!(userAccountControl:1.2.840.113556.1.4.803:=2))"


@pytest.fixture(scope="module")
def domain() -> Iterator[ActiveDirectory]:
    users = [
        *(AdUser(f"user{number}", f"Given{number}") for number in range(COUNT)),
        AdUser("disabled", disabled=True),
        AdUser("expired", expired=True),
        AdUser("Mixed.Case"),
    ]
    groups = [AdGroup("inner", ["user3", "user4"]), AdGroup("outer", ["user1", "inner"])]
    running = ActiveDirectory(users, groups)
    yield running
    running.close()


_open: list[LdapDirectory] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def opened(settings: LdapSettings) -> LdapDirectory:
    _open.append(LdapDirectory(settings, datetime.now(UTC), seconds=20))
    return _open[-1]


def directory(domain: ActiveDirectory, **search: Any) -> LdapDirectory:
    user_search = {
        "baseDN": USERS,
        "usernameAttr": "sAMAccountName",
        "fullNameAttr": "displayName",
        "filter": "(&(objectClass=user)(givenName=*))",
    }
    document = {
        "serverURL": domain.url,
        "readerDN": ADMINISTRATOR,
        "readerPassword": ADMIN_PASSWORD,
        "tlsSkipVerify": True,  # its certificate names no host that we could call it by
        "userSearchConfigs": [{**user_search, **search}],
    }
    return opened(LdapSettings.model_validate(document))


def names(asked: LdapDirectory, *, active: bool = True) -> set[str]:
    return {one.name for one in asked.iter_users() if isinstance(one, DirectoryUser) and one.is_active is active}


def test_a_user_signs_in_by_either_of_his_names(domain: ActiveDirectory) -> None:
    asked = directory(domain)
    for typed in ("user1", "USER1", "user1@lab.test"):
        user = asked.find(typed)
        assert user is not None, typed
        assert (user.name, user.full_name) == ("user1", "Given1 Lab")
        assert asked.check(user, PASSWORD)
        assert not asked.check(user, "Wr0ng secret of the lab")
        assert not asked.check(user, "")


def test_of_principal_names_the_part_before_the_at_is_the_accounts(domain: ActiveDirectory) -> None:
    asked = directory(domain, usernameAttr="userPrincipalName")
    for typed in ("user2", "user2@lab.test"):
        user = asked.find(typed)
        assert user is not None, typed
        assert user.name == "user2"
    assert "mixed.case" in names(asked)


def test_who_is_disabled_or_expired_is_out(domain: ActiveDirectory) -> None:
    asked = directory(domain)
    assert names(asked, active=False) == {"disabled", "expired"}
    for name in ("disabled", "expired"):
        user = asked.find(name)
        assert user is not None
        assert not asked.check(user, PASSWORD)
        assert not asked.check(DirectoryUser(user.id, user.name), PASSWORD)  # the domain itself refuses, too
    assert "disabled" not in names(directory(domain, filter=f"(&(givenName=*){LIVING})"), active=False)


def test_groups_hold_groups(domain: ActiveDirectory) -> None:
    of_group = {"matchGroup": True, "matchGroupDN": f"CN=outer,{USERS}"}
    assert names(directory(domain, **of_group)) == {"user1"}
    assert names(directory(domain, **of_group, matchGroupIterate=True)) == {"user1", "user3", "user4"}
    chain = f"(&(objectClass=user)(memberOf:1.2.840.113556.1.4.1941:=CN=outer,{USERS}))"
    search = {"enableSync": True, "selectGroupMembers": False, "searchBaseDN": BASE, "searchScopeSubtree": True}
    found = directory(domain).members(MemberSync.model_validate({**search, "searchFilter": chain}))
    assert {dn.partition(",")[0] for dn in found} == {"cn=user1", "cn=user3", "cn=user4"}


def test_a_search_over_the_whole_domain_passes_over_its_referrals(domain: ActiveDirectory) -> None:
    asked = directory(domain, baseDN=BASE)
    assert len(names(asked)) == COUNT + 1


def test_without_tls_the_domain_takes_no_password(domain: ActiveDirectory) -> None:
    document = {
        "serverURL": "ldap://localhost:389",
        "readerDN": ADMINISTRATOR,
        "readerPassword": ADMIN_PASSWORD,
        "userSearchConfigs": [{"baseDN": USERS, "usernameAttr": "sAMAccountName"}],
    }
    plain = opened(LdapSettings.model_validate(document))
    with pytest.raises(Exception, match=r"strong|Strong|confidentiality|TLS"):
        plain.find("user1")
    encrypted = LdapSettings.model_validate({**document, "startTLS": True, "tlsSkipVerify": True})
    assert opened(encrypted).find("user1") is not None
