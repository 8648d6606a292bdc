"""The authority of client certificates: one of its own, so that trusting the server's certificate and accepting a client's
are two decisions, and a key that leaks endangers one of them.

Made at its first use, under an id that is always the same: of several replicas that make one at once, one wins.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.core.clock import Clock
from lading.core.folders import DataFolder, write_durably
from lading.database import Database, Point, Points
from lading.keys.authority import Authority, KeyPair
from lading.keys.store import Secret, SecretStore
from lading.keys.tables import secrets

KIND = "client-authority"
_FIRST = "1"
_LIMIT = 16  # authorities that are accepted at once: there are two while one takes another's place
_CERTIFICATES = Point(
    select(secrets.c.public)
    .where(secrets.c.kind == bindparam("kind"), secrets.c.is_active.is_(True))
    .order_by(secrets.c.created_at.desc(), secrets.c.id)
    .limit(_LIMIT)
)


@dataclass(frozen=True)
class ClientAuthority:
    """Issues client certificates that live for `life`. `name` is what the installation is called."""

    database: Database
    store: SecretStore
    clock: Clock
    name: str
    life: timedelta

    async def issue(self, account: str) -> KeyPair:
        """A new key and its certificate for the account of that name. Neither is kept here."""
        return (await self.authority()).issue_client(account, self.clock.now(), self.life)

    async def authority(self) -> Authority:
        """The authority that issues now; made when there is none."""
        async with self.database.read() as connection:
            known = await self._newest(connection)
        return known or await self._make(self.clock.now())

    async def refresh(self, folder: DataFolder, additional: str) -> bool:
        """nginx's file holds all authorities that are accepted now, ours first; True when it held others before."""
        await self.authority()
        ours = await find_client_authorities(self.database.points)
        wanted, path = f"{ours}{additional.strip()}\n", folder.client_authorities
        if path.exists() and path.read_text() == wanted:
            return False
        write_durably(path, wanted.encode())
        return True

    async def _make(self, now: datetime) -> Authority:
        pair = Authority.create(self.name, now, title="Lading client authority").pair
        secret = Secret(KIND, _FIRST, pair.key.encode(), pair.certificate, now, pair.leaf.not_valid_after_utc)
        async with self.database.write() as unit:
            if await self.store.add(unit, secret):
                return Authority(pair)
            known = await self._newest(unit)  # another replica was faster
        if known is None:
            raise RuntimeError("the client authority that was there is no longer active")
        return known

    async def _newest(self, connection: AsyncConnection) -> Authority | None:
        found = await self.store.list_active(connection, KIND)
        return Authority(KeyPair(found[0].public, found[0].value.decode())) if found else None


async def find_client_authorities(points: Points) -> str:
    """The certificates of all client authorities that are accepted, PEM, the newest first; empty when there is none yet.

    One point read.
    """
    return "".join([row[0] for row in await points.rows(_CERTIFICATES, kind=KIND)])
