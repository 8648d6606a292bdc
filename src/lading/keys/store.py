"""Sealed secrets as rows: values in, values out."""

import base64
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.database.upserts import upsert
from lading.keys.master import MasterKey, WrongMasterKeyError
from lading.keys.tables import secrets


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, opened. `public` is what belongs to it and may be shown: a certificate, a public key."""

    kind: str
    id: str
    value: bytes = field(repr=False)
    public: str
    created_at: datetime
    expires_at: datetime | None = None


class SecretStore:
    """Secrets of one installation, under its master key."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master

    async def add(self, unit: AsyncConnection, secret: Secret) -> bool:
        """True when the secret is new; False when there is one of its kind and id already, which stays."""
        added = await unit.execute(
            upsert(unit)(secrets)
            .values(
                kind=secret.kind,
                id=secret.id,
                sealed=self._master.seal(secret.value, f"{secret.kind}/{secret.id}"),
                master_key=self._master.id,
                public=secret.public,
                is_active=True,
                created_at=secret.created_at,
                expires_at=secret.expires_at,
            )
            .on_conflict_do_nothing()
        )
        return bool(added.rowcount)

    async def list_active(self, connection: AsyncConnection, kind: str) -> list[Secret]:
        """The active secrets of a kind, newest first. Errors: WrongMasterKeyError."""
        found = await connection.execute(
            select(secrets)
            .where(secrets.c.kind == kind, secrets.c.is_active.is_(True))
            .order_by(secrets.c.created_at.desc(), secrets.c.id)
        )
        return [
            Secret(
                row.kind,
                row.id,
                self._open(row.sealed, row.master_key, f"{row.kind}/{row.id}"),
                row.public,
                row.created_at,
                row.expires_at,
            )
            for row in found
        ]

    def seal_text(self, value: str, context: str) -> str:
        """`value` as text that only `open_text` with the same context reads; for secrets inside of other documents."""
        return base64.b64encode(self._master.seal(value.encode(), context)).decode()

    def open_text(self, sealed: str, context: str) -> str:
        """What `seal_text` sealed. Errors: WrongMasterKeyError."""
        return self._master.open(base64.b64decode(sealed), context).decode()

    def _open(self, sealed: bytes, master_key: str, context: str) -> bytes:
        if master_key != self._master.id:
            raise WrongMasterKeyError
        return self._master.open(bytes(sealed), context)

    async def deactivate(self, unit: AsyncConnection, kind: str, *, keep: str = "") -> None:
        """All secrets of the kind but `keep` are no longer active."""
        await unit.execute(update(secrets).where(secrets.c.kind == kind, secrets.c.id != keep).values(is_active=False))

    async def expire(self, unit: AsyncConnection, kind: str, *, keep: str, at: datetime) -> None:
        """All active secrets of the kind but `keep` end at the moment given, when they would live longer."""
        await unit.execute(
            update(secrets)
            .where(
                secrets.c.kind == kind,
                secrets.c.id != keep,
                secrets.c.is_active.is_(True),
                secrets.c.expires_at.is_(None) | (secrets.c.expires_at > at),
            )
            .values(expires_at=at)
        )
