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
from lading.core.errors import InvalidError
from lading.database import Database, Point
from lading.events.log import Actor, Event, EventType, ObjectType, record

SETTINGS_EVERY = timedelta(seconds=2)
"""How often each process asks whether the settings changed."""

_ROW = 1
_VERSION_AND_DOCUMENT = Point(
    select(site_settings.c.version, site_settings.c.document).where(site_settings.c.id == bindparam("id"))
)


class SettingPinnedError(InvalidError):
    """File or environment say otherwise, and they win."""

    code = "INVALID_SETTINGS"

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


KEYS: Mapping[str, str] = {
    "readOnlyRegistry": "read_only",
    "createRepositoryOnPush": "create_repository_on_push",
    "deletesEnabled": "deletes",
    "anonymousAccess": "anonymous_access",
}
"""Names of the API (the first two are DTR's), and the fields. All are switches."""


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
        return replace(self._boot, **{key: bool(value) for key, value in document.items() if key in fields})

    def check(self, changes: Mapping[str, bool]) -> None:
        """Returns when nothing pinned would be changed. `changes` by the API's names. Errors: SettingPinnedError."""
        for key, value in changes.items():
            where = self._pinned.get(KEYS[key])
            if where is not None and value != getattr(self._boot, KEYS[key]):
                raise SettingPinnedError(key, where)

    async def change(self, changes: Mapping[str, bool], by: Actor) -> SiteSettings:
        """The settings with `changes`, by the API's names; here at once, elsewhere within seconds.

        Errors: SettingPinnedError.
        """
        self.check(changes)
        now = self._clock.now()
        wanted = {KEYS[key]: value for key, value in changes.items() if KEYS[key] not in self._pinned}
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
            content = ", ".join(f"{key}={str(value).lower()}" for key, value in sorted(changes.items()))
            await record(unit, now, Event(EventType.UPDATE, by, ObjectType.SETTINGS, "site", content=content))
        await self.refresh()
        return self.current
