"""`lading ldap` against a real server and a real OpenLDAP."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Person
from support.openldap import (
    GROUPS,
    PASSWORD,
    PEOPLE,
    READER,
    READER_PASSWORD,
    OpenLdap,
    dn,
    group,
    needs_openldap,
    person,
)
from support.servers import Server

pytestmark = [needs_openldap, pytest.mark.slow]


@pytest.fixture(scope="module")
def directory() -> Iterator[OpenLdap]:
    entries = [person("troy", 1), person("lionel", 2), group("actors", [dn("troy")])]
    started = OpenLdap(entries)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module")
def admin(shared_nginx_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    found = Person(shared_nginx_server, "admin", tmp_path_factory.mktemp("homes"))
    try:
        yield found
    finally:
        found("ldap", "disable")


@pytest.fixture
def file(directory: OpenLdap, tmp_path: Path) -> Path:
    document = {
        "serverURL": directory.url,
        "readerDN": READER,
        "readerPassword": READER_PASSWORD,
        "jitUserProvisioning": False,
        "userSearchConfigs": [{"baseDN": PEOPLE, "usernameAttr": "uid", "fullNameAttr": "cn"}],
    }
    written = tmp_path / "ldap.json"
    written.write_text(json.dumps(document))
    return written


def test_ldap_is_set_tried_used_and_synced(nginx_server: Server, admin: Person, file: Path) -> None:
    assert "no sync has run yet" in admin.refused("ldap", "log")
    tried = ("ldap", "try-login", "troy", "--settings", str(file), "--password-stdin")
    assert re.search(r"passwordIsRight +true", admin(*tried, stdin=f"{PASSWORD}\n"))
    assert re.search(r"passwordIsRight +false", admin(*tried, stdin="wrong\n", status=1))
    assert "next: lading ldap try-login USER" in admin("ldap", "set", str(file))
    assert re.search(r"used +no; lading ldap enable", admin("ldap", "show"))
    assert READER_PASSWORD not in admin("ldap", "show", "--json")
    admin("ldap", "try-login", "lionel", "--no-password")
    assert "no user search finds" in admin("ldap", "try-login", "nobody-here", "--no-password", status=1)

    admin("org", "create", "stage")
    admin("team", "create", "stage/actors")
    assert "stage/actors: as set here" in admin("ldap", "team", "stage/actors")
    actors = f"cn=actors,{GROUPS}"
    assert f"stage/actors: as {actors} says" in admin("ldap", "team", "stage/actors", "--group", actors)
    admin("ldap", "owners", "stage", "--group", actors)
    assert "exclude each other" in admin.refused("ldap", "owners", "stage", "--group", actors, "--off", status=2)

    assert "next: lading ldap sync-now" in admin("ldap", "enable")
    said = admin("ldap", "sync-now")
    assert "the sync is done" in said
    assert "lionel" in said
    assert "lionel" in admin("ldap", "log")
    assert re.search(r"lionel +Full Name 2 +user +yes +directory", admin("account", "list", "--contains", "lionel"))
    shown = admin("org", "show", "stage")
    assert re.search(r"owners +troy *\n", shown), shown
    assert re.search(r"troy +Full Name 1 +directory", admin("team", "members", "stage/actors"))
    assert "owners of stage: as set here" in admin("ldap", "owners", "stage", "--off")
    with nginx_server.client(name="troy", secret=PASSWORD) as client:
        assert client.get("/auth/token", params={"service": nginx_server.host}).status_code == 200


def test_settings_that_can_be_none_are_one_line(admin: Person, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    assert "can't read" in admin.refused("ldap", "set", str(wrong), status=2)
    for text, said in (("{", "can't read"), ("[]", "no JSON object")):
        wrong.write_text(text)
        assert said in admin.refused("ldap", "set", str(wrong), status=2)
    wrong.write_text('{"serverURL": "http://localhost"}')
    assert "serverURL" in admin.refused("ldap", "set", str(wrong))
