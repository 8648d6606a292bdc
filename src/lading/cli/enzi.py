"""The accounts API as commands ask it: paths, made of names that were parsed and of nothing else, and lists."""

import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote

from lading.cli.remote import Api, RemoteError
from lading.core.errors import SettingsError
from lading.core.names import check_account_name

ACCOUNTS = "/enzi/v0/accounts"
_PAGE = 1000
_Answer = TypeVar("_Answer")
_TEAM_LIMIT = 100
_ROBOT = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,58}[a-z0-9])?", re.ASCII)


def check_name(name: str) -> str:
    """`name`, when it can be a user's, an organization's, or the whole one of a robot: `robot$NAMESPACE+NAME`.

    Errors: NameInvalidError, SettingsError.
    """
    namespace, plus, robot = name.removeprefix("robot$").partition("+")
    if name.startswith("robot$") and plus:
        check_account_name(namespace)
        check_robot_name(robot)
    else:
        check_account_name(name)
    return name


def check_robot_name(name: str) -> str:
    """`name`, when it can be a robot's in its namespace. Errors: SettingsError."""
    if _ROBOT.fullmatch(name) is None:
        raise SettingsError(
            f"{name[:60]!r} can't be a robot's name: want up to 60 lower-case letters, digits, '.', '_' or '-'"
        )
    return name


def account_path(name: str) -> str:
    """The API's path of an account. Errors: as check_name."""
    return f"{ACCOUNTS}/{quote(check_name(name), safe='')}"


def member_path(place: str, user: str) -> str:
    """The API's path of a member of the organization, or team, whose path is `place`. Errors: NameInvalidError."""
    return f"{place}/members/{check_account_name(user)}"


@dataclass(frozen=True, slots=True)
class TeamName:
    """A team's whole name: ORGANIZATION/TEAM."""

    organization: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The team that `text` names. Errors: SettingsError, NameInvalidError."""
        organization, slash, name = text.partition("/")
        if not slash:
            raise SettingsError(f"{text[:_TEAM_LIMIT]!r} names no team: want ORGANIZATION/TEAM")
        check_account_name(organization)
        return cls(organization, check_team_name(name))

    @property
    def path(self) -> str:
        """The API's path of the team."""
        return f"{ACCOUNTS}/{self.organization}/teams/{quote(self.name, safe='')}"

    def __str__(self) -> str:
        return f"{self.organization}/{self.name}"


def check_team_name(name: str) -> str:
    """`name`, unless it would mean something else in a path; the server says what else is wrong. Errors: SettingsError."""
    if not 0 < len(name) <= _TEAM_LIMIT or "/" in name or name in {".", ".."} or not name.isprintable():
        raise SettingsError(f"{name[:_TEAM_LIMIT]!r} can't be a team's name: want letters, digits, '.', '_', '-', '@'")
    return name


async def list_all(api: Api, path: str, key: str, **query: str) -> list[Any]:
    """Every entry of a list of the accounts API. Errors: RemoteError."""
    found: list[Any] = []
    start = ""
    while True:
        page = await api.ask("GET", path, limit=_PAGE, start=start, **query)
        found += page[key]
        start = page["nextPageStart"]
        if not start:
            return found


async def unless_refused(asked: Awaitable[_Answer]) -> _Answer | None:
    """What the API answers; None when it tells that to others, and not to the caller. Errors: RemoteError for other trouble."""
    try:
        return await asked
    except RemoteError as error:
        if error.code != "NOT_AUTHORIZED":
            raise
        return None
