"""Words of the command line that name who may what and until when, parsed before a server is asked.

What they can't mean is a SettingsError, and so exit status 2.
"""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lading.access import grants
from lading.access.roles import GRANTABLE, LEVELS
from lading.cli.enzi import TeamName, check_name
from lading.core.durations import parse_duration
from lading.core.errors import InvalidError, SettingsError

LEVEL_WORDS = tuple(level.value for level in LEVELS)
PERMISSION_WORDS = tuple(sorted(permission.value for permission in GRANTABLE))

Allowed = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="PATTERN=LEVEL",
        help="Repositories, such as acme/app or 'acme/base-*', and what is allowed there: a level "
        f"({', '.join(LEVEL_WORDS)}), or permissions separated by commas. May be given often.",
    ),
]
Expires = Annotated[
    str, typer.Option(metavar="LENGTH|DATE", help="When it ends: after 90d or 12h, or at 2027-01-31 (0:00 UTC).")
]


def check_pattern(text: str) -> str:
    """`text`, when it is a pattern of repositories. Errors: SettingsError."""
    try:
        return grants.check_pattern(text)
    except InvalidError as error:
        raise SettingsError(error.message) from error


def parse_subject(option: str, text: str) -> tuple[str, str]:
    """To whom a grant goes, as the API wants it: the kind and the name. Errors: SettingsError, NameInvalidError."""
    kind, colon, name = text.partition(":")
    match kind, colon:
        case "everyone", "":
            return kind, ""
        case "user", ":":
            return kind, check_name(name)
        case "team", ":":
            return kind, str(TeamName.parse(name))
    raise SettingsError(f"{option} is {text[:100]!r}: want user:NAME, team:ORGANIZATION/TEAM, or everyone")


def check_permissions(words: Sequence[str]) -> list[str]:
    """The permissions that the words name. Errors: SettingsError."""
    wrong = [word for word in words if word not in PERMISSION_WORDS]
    if wrong or not words:
        raise SettingsError(f"{', '.join(wrong)[:200]!r} is no permission: want some of {', '.join(PERMISSION_WORDS)}")
    return list(words)


def parse_allowed(words: Sequence[str]) -> list[dict[str, Any]]:
    """What PATTERN=LEVEL words allow, as the API wants it. Errors: SettingsError."""
    return [_allowed(word) for word in words]


def _allowed(word: str) -> dict[str, Any]:
    pattern, equals, what = word.partition("=")
    if not equals or not what:
        raise SettingsError(f"--allow is {word[:400]!r}: want PATTERN=LEVEL, such as acme/app={LEVEL_WORDS[0]}")
    repository = check_pattern(pattern)
    if what in LEVEL_WORDS:
        return {"repository": repository, "accessLevel": what}
    if ":" not in what:
        raise SettingsError(f"{what[:100]!r} is no level: want {', '.join(LEVEL_WORDS)}, or permissions by name")
    return {"repository": repository, "permissions": check_permissions(what.split(","))}


def parse_expiry(text: str, now: datetime) -> str | None:
    """The moment that a length of time from now, or a date, names, as the API wants it. Errors: SettingsError."""
    if not text:
        return None
    try:
        return (now + parse_duration(text)).isoformat()
    except InvalidError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            f"--expires is {text[:64]!r}: want a length such as 90d, or a date such as 2027-01-31"
        ) from error
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).isoformat()


def docker_login(host: str, name: str) -> str:
    """The command that signs a container client in."""
    return f"docker login {host} -u {shlex.quote(name)}"
