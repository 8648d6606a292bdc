"""The SQL of action configs: rows to values and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.jobs.tables import action_configs


@dataclass(frozen=True, slots=True)
class ActionConfig:
    """Parameters that jobs of an action get when they are not given any other."""

    id: str
    action: str
    parameters: Mapping[str, str]


def _config(row: Row[Any]) -> ActionConfig:
    return ActionConfig(row.id, row.action, json.loads(row.parameters))


async def put(unit: AsyncConnection, made: ActionConfig, now: datetime) -> None:
    """One config per action: a newer one replaces it, but for its id."""
    dialect = sqlite if unit.dialect.name == "sqlite" else postgresql
    changes = {"parameters": json.dumps(dict(made.parameters)), "updated_at": now}
    added = dialect.insert(action_configs).values(action=made.action, id=made.id, **changes)
    await unit.execute(added.on_conflict_do_update(index_elements=["action"], set_=changes))


async def find(connection: AsyncConnection, action: str) -> ActionConfig | None:
    row = (await connection.execute(select(action_configs).where(action_configs.c.action == action))).one_or_none()
    return None if row is None else _config(row)


async def list_configs(connection: AsyncConnection) -> Sequence[ActionConfig]:
    """All, in order of their actions."""
    return [_config(row) for row in await connection.execute(select(action_configs).order_by(action_configs.c.action))]


async def delete_config(unit: AsyncConnection, action: str) -> bool:
    """False when there was none."""
    return bool((await unit.execute(delete(action_configs).where(action_configs.c.action == action))).rowcount)
