"""The OpenID providers that one may sign in by, as an administrator set them while the server runs.

Every process reads them again after a few seconds. The clients' secrets are sealed by the master key.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import bindparam, select

from lading.accounts import oidc_store, session_store, store
from lading.accounts.directories.oidc import OidcProvider
from lading.accounts.directories.oidc_settings import OidcSettings, check_provider_name
from lading.accounts.directory_settings import SettingsInvalidError
from lading.accounts.tables import sign_in_settings
from lading.core.clock import Clock
from lading.core.errors import UnknownError
from lading.database import Database, Point
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.keys.store import SecretStore

_ROW = "oidc"
_FRESH_SECONDS = 3.0
_PROVIDERS = 50
_SETTINGS = Point(select(sign_in_settings.c.value).where(sign_in_settings.c.name == bindparam("name")))


class ProviderUnknownError(UnknownError):
    """No such provider."""

    code = "NO_SUCH_PROVIDER"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no sign-in provider {name[:32]!r}")


def directory_of(provider: str) -> str:
    """The word for the provider among the directories that accounts come from."""
    return f"oidc:{provider}"


@dataclass(frozen=True, slots=True)
class _Known:
    """What the row says. `issuers` are those of all names that ever were: accounts stay bound to them."""

    providers: dict[str, OidcSettings]
    issuers: dict[str, str]


class OidcProviders:
    """Reads and writes the settings, and keeps a provider's metadata as long as its settings stay."""

    def __init__(self, database: Database, clock: Clock, secrets: SecretStore) -> None:
        self._database = database
        self._clock = clock
        self._secrets = secrets
        self._known: dict[str, OidcProvider] = {}
        self._read_at = float("-inf")

    async def list(self, *, fresh: bool = False) -> Mapping[str, OidcProvider]:
        """The providers by their names, in order; what is remembered of them is at most some seconds old."""
        if fresh or time.monotonic() - self._read_at >= _FRESH_SECONDS:
            row = await self._database.points.first(_SETTINGS, name=_ROW)
            found = self._opened(None if row is None else row[0]).providers
            self._known = {
                name: self._known[name]
                if name in self._known and self._known[name].settings == settings
                else OidcProvider(settings)
                for name, settings in sorted(found.items())
            }
            self._read_at = time.monotonic()
        return self._known

    async def get(self, name: str, *, fresh: bool = False) -> OidcProvider:
        """Errors: ProviderUnknownError."""
        found = (await self.list(fresh=fresh)).get(name)
        if found is None:
            raise ProviderUnknownError(name)
        return found

    async def put(self, name: str, document: Mapping[str, Any], *, by: Actor) -> OidcSettings:
        """The provider's settings are the document's. A secret that is not given stays, while issuer and client do.

        Errors: InvalidError for the name; SettingsInvalidError, which names the field.
        """
        check_provider_name(name)
        settings, now = _parsed(document), self._clock.now()
        async with self._database.write() as unit:
            known = self._opened(await oidc_store.find_settings_for_update(unit, _ROW))
            before = known.providers.get(name)
            if before is None and len(known.providers) >= _PROVIDERS:
                raise SettingsInvalidError(f"there are {_PROVIDERS} providers already: delete one")
            if known.issuers.get(name, settings.issuer) != settings.issuer:
                # Subjects are an issuer's own words: another issuer's could be somebody else's account here.
                raise SettingsInvalidError(f"issuer: {name} is {known.issuers[name]}: give another issuer another name")
            # Only for the very same client: nobody shall have it sent elsewhere by changing the address.
            is_same = before is not None and before.client_id == settings.client_id
            if before is not None and is_same and not settings.client_secret.get_secret_value():
                settings = settings.model_copy(update={"client_secret": before.client_secret})
            known.providers[name], known.issuers[name] = settings, settings.issuer
            await store.put_settings(unit, _ROW, self._sealed(known), now)
            await record(unit, now, _event(EventType.UPDATE, by, name, settings.issuer))
        self._read_at = float("-inf")
        return settings

    async def delete(self, name: str, *, by: Actor) -> None:
        """Nobody signs in by the provider any more, and who is signed in by it is signed out. Errors: ProviderUnknownError."""
        now = self._clock.now()
        async with self._database.write() as unit:
            known = self._opened(await oidc_store.find_settings_for_update(unit, _ROW))
            gone = known.providers.pop(name, None)
            if gone is None:
                raise ProviderUnknownError(name)
            await store.put_settings(unit, _ROW, self._sealed(known), now)
            await session_store.delete_sessions_from(unit, directory_of(name))
            await record(unit, now, _event(EventType.DELETE, by, name, gone.issuer))
        self._read_at = float("-inf")

    def _sealed(self, known: _Known) -> str:
        rows = {}
        for name, settings in known.providers.items():
            secret = settings.client_secret.get_secret_value()
            sealed = self._secrets.seal_text(secret, _context(name)) if secret else ""
            rows[name] = {**settings.shown(), "clientSecret": sealed}
        return json.dumps({"providers": rows, "issuers": known.issuers})

    def _opened(self, text: str | None) -> _Known:
        document = {"providers": {}, "issuers": {}} if text is None else json.loads(text)
        known = _Known({}, document["issuers"])
        for name, row in document["providers"].items():
            sealed = row.pop("clientSecret")
            secret = self._secrets.open_text(sealed, _context(name)) if sealed else ""
            known.providers[name] = OidcSettings.model_validate({**row, "clientSecret": secret})
        return known


def _context(name: str) -> str:
    return f"oidc client {name}"


def _parsed(document: Mapping[str, Any]) -> OidcSettings:
    try:
        return OidcSettings.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the settings"
        raise SettingsInvalidError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


def _event(kind: EventType, by: Actor, name: str, issuer: str) -> Event:
    return Event(kind, by, ObjectType.SETTINGS, directory_of(name), object_name=name, content=issuer[:255])
