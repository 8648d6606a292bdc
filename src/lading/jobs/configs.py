"""Action configs: default parameters, per action, of jobs submitted from then on. Source: DTR reference 1.2, 1.3."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lading.core.clock import Clock
from lading.core.errors import UnknownError
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.jobs import config_store as store
from lading.jobs.config_store import ActionConfig


class ActionConfigUnknownError(UnknownError):
    """The action's parameters are its built-in ones."""

    code = "NO_SUCH_ACTION_CONFIG"

    def __init__(self, action: str) -> None:
        super().__init__(f"{action[:64]!r} has no config")


@dataclass(frozen=True)
class ActionConfigs:
    """The use cases of action configs."""

    database: Database
    clock: Clock

    async def put(self, action: str, parameters: Mapping[str, str], *, by: Actor) -> ActionConfig:
        """The parameters are the action's; those it had before are not."""
        now = self.clock.now()
        async with self.database.write() as unit:
            await store.put(unit, ActionConfig(str(uuid.uuid4()), action, parameters), now)
            # The names only: values may be addresses with credentials in them.
            told = ", ".join(sorted(parameters))
            await record(unit, now, Event(EventType.UPDATE, by, ObjectType.ACTION_CONFIG, action, content=told))
        return await self.get(action)

    async def get(self, action: str) -> ActionConfig:
        """Errors: ActionConfigUnknownError."""
        async with self.database.read() as connection:
            found = await store.find(connection, action)
        if found is None:
            raise ActionConfigUnknownError(action)
        return found

    async def list(self) -> Sequence[ActionConfig]:
        """All, in order of their actions."""
        async with self.database.read() as connection:
            return await store.list_configs(connection)

    async def delete(self, action: str, *, by: Actor) -> None:
        """The action's built-in parameters hold again."""
        async with self.database.write() as unit:
            if await store.delete_config(unit, action):
                await record(unit, self.clock.now(), Event(EventType.DELETE, by, ObjectType.ACTION_CONFIG, action))
