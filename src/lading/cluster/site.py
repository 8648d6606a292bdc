"""Site settings: what an administrator changes while the server runs. One versioned row, which every process reads again
every two seconds, so that all replicas agree within five.

A key that file or environment set is pinned: it shows their value and can't be changed here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from lading.cluster.tables import site_settings
from lading.core.clock import Clock
from lading.core.durations import format_duration, parse_duration
from lading.core.errors import InvalidError
from lading.database import Database, Point
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.keys.public_keys import check_authorities

SETTINGS_EVERY = timedelta(seconds=2)
"""How often each process asks whether the settings changed."""

_ROW = 1
_VERSION_AND_DOCUMENT = Point(
    select(site_settings.c.version, site_settings.c.document).where(site_settings.c.id == bindparam("id"))
)


class SettingInvalidError(InvalidError):
    """A setting that does not exist, or a value that it can't have."""

    code = "INVALID_SETTINGS"


class SettingPinnedError(SettingInvalidError):
    """File or environment say otherwise, and they win."""

    def __init__(self, key: str, where: str) -> None:
        variable = "LADING_" + where.upper().replace(".", "__")
        super().__init__(
            f"{key} is set by the settings file or the environment ({where}, {variable}): change it there, or remove it there"
        )


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """The settings as they are at one moment; field by field what is set here, else the boot settings' value."""

    read_only: bool = False
    create_repository_on_push: bool = False
    deletes: bool = True
    anonymous_access: bool = True
    pull_events: bool = True
    job_history: bool = True  # finished jobs go, by number (of each action) and age
    job_history_keep: int = 1000  # 0: any number
    job_history_age: timedelta = timedelta(days=90)  # nothing: any age
    event_history: bool = True  # events go, by number and age
    event_history_keep: int = 0
    event_history_age: timedelta = timedelta(0)
    client_certificates: bool = True  # of use with nginx only
    session_cookies_only: bool = False  # cookies of sessions end with the browser
    client_authorities: str = ""  # accepted beside our own for client certificates, PEM


Value = bool | int | str | timedelta

KEYS: Mapping[str, str] = {
    "readOnlyRegistry": "read_only",
    "createRepositoryOnPush": "create_repository_on_push",
    "deletesEnabled": "deletes",
    "anonymousAccess": "anonymous_access",
    "pullEventsEnabled": "pull_events",
    "jobHistoryCompactionEnabled": "job_history",
    "jobHistoryToKeep": "job_history_keep",
    "jobHistoryMaxAge": "job_history_age",
    "repoEventHistoryCompactionEnabled": "event_history",
    "repoEventHistoryToKeep": "event_history_keep",
    "repoEventHistoryMaxAge": "event_history_age",
    "clientCertAuthEnabled": "client_certificates",
    "webTLSClientCA": "client_authorities",
    "disablePersistentCookies": "session_cookies_only",
}
"""Names of the API (DTR's, but for those of deletes, anonymous access and pull events), and the fields."""

NUMBER_LIMIT = 10**9
_KINDS: Mapping[str, type] = {name: type(getattr(SiteSettings(), name)) for name in KEYS.values()}


def parse_value(key: str, value: object) -> Value:
    """What the API was sent for that key. Lengths of time are texts such as `720h`. Errors: SettingInvalidError."""
    kind = _KINDS[KEYS[key]]
    if kind is timedelta and isinstance(value, str):
        try:
            return parse_duration(value)
        except InvalidError as error:
            raise SettingInvalidError(f"{key}: {error.message}") from error
    if kind is str and isinstance(value, str):
        try:
            check_authorities(value)  # the one text there is
        except InvalidError as error:
            raise SettingInvalidError(f"{key}: {error.message}") from error
        return value
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_LIMIT:
        return value
    wanted = {
        bool: "true or false",
        int: f"a number from 0 to {NUMBER_LIMIT}",
        timedelta: "a length such as 720h",
        str: "a text",
    }
    raise SettingInvalidError(f"{key} is {wanted[kind]}")


def plain_value(value: Value) -> bool | int | str:
    """The value as the API shows it, and the row keeps it."""
    return format_duration(value) if isinstance(value, timedelta) else value


def _told(value: bool | float | str) -> str:  # noqa: FBT001 — a value of any setting
    """The value as the log tells it: texts such as certificates are too long for it."""
    if isinstance(value, str) and "\n" in value:
        return f"{value.count('BEGIN CERTIFICATE')} certificates"
    return str(value).lower()


class LiveSettings:
    """The settings as this process knows them; `refresh` is called every two seconds by its background work.

    `boot` holds the values of file, environment and defaults; `pinned` maps the fields that file or environment set to the
    dotted key there.
    """

    def __init__(self, database: Database, clock: Clock, boot: SiteSettings, pinned: Mapping[str, str]) -> None:
        self._database = database
        self._clock = clock
        self._boot = boot
        self._pinned = pinned
        self._version = 0
        self.current = boot

    async def refresh(self) -> None:
        """`current` is what the row says now. One point read; nothing is done while the version stays."""
        row = await self._database.points.first(_VERSION_AND_DOCUMENT, id=_ROW)
        if row is not None and row[0] != self._version:
            self.current = self._merged(json.loads(row[1]))
            self._version = row[0]

    def _merged(self, document: Mapping[str, Any]) -> SiteSettings:
        fields = set(KEYS.values()) - set(self._pinned)
        known = {key: value for key, value in document.items() if key in fields}
        lengths = {key: parse_duration(value) for key, value in known.items() if _KINDS[key] is timedelta}
        return replace(self._boot, **{**known, **lengths})

    def check(self, changes: Mapping[str, Value]) -> None:
        """Returns when nothing pinned would be changed. `changes` by the API's names. Errors: SettingPinnedError."""
        for key, value in changes.items():
            where = self._pinned.get(KEYS[key])
            if where is not None and value != getattr(self._boot, KEYS[key]):
                raise SettingPinnedError(key, where)

    async def change(self, changes: Mapping[str, Value], by: Actor) -> SiteSettings:
        """The settings with `changes`, by the API's names; here at once, elsewhere within seconds.

        Errors: SettingPinnedError.
        """
        self.check(changes)
        now = self._clock.now()
        plain = {key: plain_value(value) for key, value in changes.items()}
        wanted = {KEYS[key]: value for key, value in plain.items() if KEYS[key] not in self._pinned}
        async with self._database.write() as unit:
            row = (
                await unit.execute(select(site_settings.c.version, site_settings.c.document).with_for_update())
            ).one_or_none()
            version = 1 if row is None else row.version + 1
            document = json.dumps({**({} if row is None else json.loads(row.document)), **wanted}, sort_keys=True)
            values = {"version": version, "document": document, "updated_at": now}
            if row is None:
                await unit.execute(insert(site_settings).values(id=_ROW, **values))
            else:
                await unit.execute(update(site_settings).values(**values))
            content = ", ".join(f"{key}={_told(value)}" for key, value in sorted(plain.items()))
            await record(unit, now, Event(EventType.UPDATE, by, ObjectType.SETTINGS, "site", content=content))
        await self.refresh()
        return self.current
