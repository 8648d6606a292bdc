"""Words of the command line: what they mean, and what can mean nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lading.cli.enzi import TeamName, account_path, check_robot_name, check_team_name, member_path
from lading.cli.words import (
    check_pattern,
    check_permissions,
    docker_login,
    parse_allowed,
    parse_expiry,
    parse_subject,
)
from lading.core.errors import SettingsError
from lading.core.names import NameInvalidError

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("bob", "/enzi/v0/accounts/bob"),
        ("acme-corp.eu", "/enzi/v0/accounts/acme-corp.eu"),
        ("robot$acme+ci", "/enzi/v0/accounts/robot%24acme%2Bci"),
    ],
)
def test_an_account_has_one_path(name: str, path: str) -> None:
    assert account_path(name) == path


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "../admin", "A", "bob?x=1", "bob#", "id:1", "robot$acme", "robot$../x+ci", "a\n", "%2e"],
)
def test_what_can_be_no_account_gets_no_path(name: str) -> None:
    with pytest.raises((NameInvalidError, SettingsError)):
        account_path(name)
    with pytest.raises((NameInvalidError, SettingsError)):
        member_path("/x", name)


@pytest.mark.parametrize("name", ["robot$acme+..", "robot$acme+a/b", "robot$acme+", "robot$acme+a b"])
def test_what_can_be_no_robot_gets_no_path(name: str) -> None:
    with pytest.raises(SettingsError):
        account_path(name)
    with pytest.raises(SettingsError):
        check_robot_name(name)


@pytest.mark.parametrize("name", ["Builders", "dev ops", "a@b.c", "Größe"])
def test_a_teams_name_is_escaped_in_its_path(name: str) -> None:
    parsed = TeamName.parse(f"acme/{name}")
    assert str(parsed) == f"acme/{name}"
    assert parsed.path.startswith("/enzi/v0/accounts/acme/teams/")
    assert parsed.path.count("/") == 6
    assert " " not in parsed.path


@pytest.mark.parametrize(
    "text", ["builders", "/builders", "acme/", "acme/..", "acme/.", "acme/a/b", "Acme/x", "acme/a\nb"]
)
def test_what_names_no_team_is_refused(text: str) -> None:
    with pytest.raises((NameInvalidError, SettingsError)):
        TeamName.parse(text)


def test_a_new_name_of_a_team_has_no_organization() -> None:
    with pytest.raises(SettingsError):
        check_team_name("acme/x")


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("everyone", ("everyone", "")),
        ("user:bob", ("user", "bob")),
        ("user:robot$acme+ci", ("user", "robot$acme+ci")),
        ("team:acme/builders", ("team", "acme/builders")),
    ],
)
def test_a_subject_is_a_kind_and_a_name(text: str, subject: tuple[str, str]) -> None:
    assert parse_subject("--to", text) == subject


@pytest.mark.parametrize(
    "text", ["", "bob", "user:", "user:a/b", "team:builders", "everyone:", "owners", "org:acme", "User:bob"]
)
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises((NameInvalidError, SettingsError)):
        parse_subject("--to", text)


@pytest.mark.parametrize(
    ("word", "allowed"),
    [
        ("acme/app=read-only", {"repository": "acme/app", "accessLevel": "read-only"}),
        ("acme/base-*=admin", {"repository": "acme/base-*", "accessLevel": "admin"}),
        (
            "acme/*=repository:content:pull,repository:scan:start",
            {"repository": "acme/*", "permissions": ["repository:content:pull", "repository:scan:start"]},
        ),
    ],
)
def test_a_pattern_is_allowed_a_level_or_permissions(word: str, allowed: dict[str, Any]) -> None:
    assert parse_allowed([word]) == [allowed]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("acme/app", "PATTERN=LEVEL"),
        ("acme/app=", "PATTERN=LEVEL"),
        ("=read-only", "no pattern"),
        ("acme=read-only", "no pattern"),
        ("acme/../x=read-only\n", "no level"),
        ("acme/app=write", "no level"),
        ("acme/app=repository:content:eat", "no permission"),
        ("acme/app=repository:content:pull,", "no permission"),
        ("acme/app=system:system:administer", "no permission"),
    ],
)
def test_what_allows_nothing_that_there_is_is_refused(word: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_allowed([word])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", None),
        ("90d", "2026-05-01T12:00:00+00:00"),
        ("1h30m", "2026-01-31T13:30:00+00:00"),
        ("2027-01-31", "2027-01-31T00:00:00+00:00"),
        ("2027-01-31T08:00:00+02:00", "2027-01-31T08:00:00+02:00"),
    ],
)
def test_an_end_is_a_length_from_now_or_a_date(text: str, moment: str | None) -> None:
    assert parse_expiry(text, NOON) == moment


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (lambda text: parse_expiry(text, NOON), "soon"),
        (lambda text: parse_expiry(text, NOON), "31.1.2027"),
        (lambda text: parse_expiry(text, NOON), "1000000d"),
        (check_pattern, "acme"),
        (lambda text: check_permissions([text]), "pull"),
        (lambda _: check_permissions([]), ""),
    ],
    ids=["soon", "German", "a million days", "a namespace alone", "half a permission", "no permission"],
)
def test_what_is_none_of_these_is_refused(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(SettingsError):
        parse(text)


def test_a_robots_name_is_quoted_for_the_shell() -> None:
    assert docker_login("localhost:5443", "robot$acme+ci") == "docker login localhost:5443 -u 'robot$acme+ci'"
    assert docker_login("localhost", "bob") == "docker login localhost -u bob"
