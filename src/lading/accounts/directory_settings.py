"""Which directory accounts come from, and how it is asked: set by an administrator while the server runs.

Every question is asked by the settings as they are then: one point read, parsed anew when they changed. Passwords inside are
sealed by the master key.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import SecretStr, ValidationError
from sqlalchemy import bindparam, select

from lading.accounts import store, sync_store
from lading.accounts.directories.ldap_settings import NO_LDAP, Domain, LdapSettings, MemberSync
from lading.accounts.tables import member_syncs, sign_in_settings
from lading.core.clock import Clock
from lading.core.errors import InvalidError
from lading.database import Database, Point
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.keys.store import SecretStore

MANAGED: Final = "managed"
LDAP: Final = "ldap"
"""Backends, in DTR's words: accounts from here only, or from LDAP, too."""
Backend = Literal["managed", "ldap"]
_SETTINGS = Point(
    select(sign_in_settings.c.name, sign_in_settings.c.value).where(
        sign_in_settings.c.name.in_([bindparam("auth"), bindparam("ldap")])
    )
)


class SettingsInvalidError(InvalidError):
    """Settings of a directory that can't be."""

    code = "INVALID_SETTINGS"


@dataclass(frozen=True, slots=True)
class DirectoryChoice:
    """The backend, and LDAP's settings, which may be there while it is not used."""

    backend: Backend = "managed"
    ldap: LdapSettings = NO_LDAP

    @property
    def uses_ldap(self) -> bool:
        return self.backend == LDAP and bool(self.ldap.url)


class DirectorySettings:
    """Reads and writes the settings."""

    def __init__(self, database: Database, clock: Clock, secrets: SecretStore) -> None:
        self._database = database
        self._clock = clock
        self._secrets = secrets
        self._known = DirectoryChoice()
        self._texts: dict[str, str] = {}

    async def current(self) -> DirectoryChoice:
        """The settings as they are now."""
        rows = await self._database.points.rows(_SETTINGS, auth="auth", ldap="ldap")
        texts = {row[0]: row[1] for row in rows}
        if texts != self._texts:
            backend = json.loads(texts.get("auth", "{}")).get("backend")
            settings = self._opened(json.loads(texts["ldap"])) if "ldap" in texts else NO_LDAP
            self._known = DirectoryChoice(LDAP if backend == LDAP else MANAGED, settings)
            self._texts = texts
        return self._known

    async def put_backend(self, backend: Backend, *, by: Actor) -> None:
        """Accounts come from there, too."""
        await self._write("auth", {"backend": backend}, by=by, told=backend)

    async def put_ldap(self, document: dict[str, Any], *, by: Actor) -> LdapSettings:
        """The settings that the document says. A password that is not given stays, while its server and reader do.

        Errors: SettingsInvalidError, which names the field.
        """
        settings = self.parsed(document, (await self.current()).ldap)
        await self._write("ldap", self._sealed(settings), by=by, told=settings.url)
        return settings

    @staticmethod
    def parsed(document: dict[str, Any], known: LdapSettings) -> LdapSettings:
        """The document's settings, passwords that it leaves out taken from `known`. Errors: SettingsInvalidError."""
        try:
            settings = LdapSettings.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the settings"
            raise SettingsInvalidError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
        kept = {(one.domain, one.url, one.reader): one.password for one in (known, *known.additional)}

        def with_password(one: Domain) -> dict[str, SecretStr]:
            given = one.password.get_secret_value()
            # Only for the very same server and reader: nobody shall have it sent elsewhere by changing the address.
            return {"password": one.password if given else kept.get((one.domain, one.url, one.reader), SecretStr(""))}

        additional = tuple(one.model_copy(update=with_password(one)) for one in settings.additional)
        return settings.model_copy(update={**with_password(settings), "additional": additional})

    # --- who belongs where ---

    async def targets(self) -> list[sync_store.Target]:
        """Teams and owners that the directory says who belongs to."""
        async with self._database.read() as connection:
            return await sync_store.list_targets(connection)

    async def member_sync(self, target: str) -> MemberSync:
        """Who belongs to the target, as `member_syncs` names it; switched off when nothing was said."""
        async with self._database.read() as connection:
            found = await connection.scalar(select(member_syncs.c.options).where(member_syncs.c.target == target))
        return MemberSync.model_validate(json.loads(found).get("sync", {}) if found else {})

    async def put_member_sync(
        self, target: str, organization_id: str | None, options: MemberSync, *, by: Actor, name: str
    ) -> None:
        """The directory says who belongs to the target, from its next sync on."""
        await self._put_target(target, organization_id, {"sync": options.model_dump(by_alias=True)}, by=by, name=name)

    async def group_link(self, target: str) -> dict[str, Any]:
        """DTR's groupLinkConfig of a team: the group of a provider whose members belong to it."""
        async with self._database.read() as connection:
            found = await connection.scalar(select(member_syncs.c.options).where(member_syncs.c.target == target))
        link: dict[str, Any] = json.loads(found).get("groupLink", {}) if found else {}
        return {"enableLink": bool(link.get("enableLink")), "groupName": str(link.get("groupName", ""))}

    async def put_group_link(
        self, target: str, organization_id: str, link: dict[str, Any], *, by: Actor, name: str
    ) -> None:
        await self._put_target(target, organization_id, {"groupLink": link}, by=by, name=name)

    async def _put_target(
        self, target: str, organization_id: str | None, part: dict[str, Any], *, by: Actor, name: str
    ) -> None:
        now = self._clock.now()
        async with self._database.write() as unit:
            found = await unit.scalar(select(member_syncs.c.options).where(member_syncs.c.target == target))
            options = {**(json.loads(found) if found else {}), **part}
            options["enableSync"] = bool(options.get("sync", {}).get("enableSync"))
            await store.put_member_sync(unit, target, organization_id, json.dumps(options), now)
            if "sync" in part and not options["enableSync"]:
                await sync_store.keep_by_hand(unit, target, organization_id or "")
            told = Event(EventType.UPDATE, by, ObjectType.SETTINGS, target, object_name=name, content="member sync")
            await record(unit, now, told)

    # --- rows ---

    async def _write(self, name: str, value: dict[str, Any], *, by: Actor, told: str) -> None:
        now = self._clock.now()
        async with self._database.write() as unit:
            await store.put_settings(unit, name, json.dumps(value), now)
            await record(unit, now, Event(EventType.UPDATE, by, ObjectType.SETTINGS, name, content=told[:255]))

    def _sealed(self, settings: LdapSettings) -> dict[str, Any]:
        document = settings.shown()
        for number, (part, one) in enumerate(zip(_parts(document), (settings, *settings.additional), strict=True)):
            password = one.password.get_secret_value()
            part["readerPassword"] = self._secrets.seal_text(password, f"ldap reader {number}") if password else ""
        return document

    def _opened(self, document: dict[str, Any]) -> LdapSettings:
        for number, part in enumerate(_parts(document)):
            if part.get("readerPassword"):
                part["readerPassword"] = self._secrets.open_text(part["readerPassword"], f"ldap reader {number}")
        return LdapSettings.model_validate(document)


def _parts(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [document, *document["additionalDomains"]]
