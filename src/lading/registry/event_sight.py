"""Which repositories' events a caller may see: fills `events.feed.Sight`."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, select

from lading.access import Permission, Principal
from lading.core.errors import DeniedError
from lading.events.feed import RepositorySight
from lading.events.tables import events
from lading.registry.api import parse_name
from lading.registry.dtr_errors import RepositoryUnknownError
from lading.registry.repositories import Repositories
from lading.registry.store import visible_to
from lading.registry.tables import repositories


@dataclass(frozen=True)
class RepositoryEvents:
    """Asks the registry."""

    repositories: Repositories

    async def of_repository(self, who: Principal, namespace: str, reponame: str) -> RepositorySight:
        name = parse_name(namespace, reponame)
        known = await self.repositories.get(who, name)
        async with self.repositories.database.read() as connection:
            since = await connection.scalar(select(repositories.c.created_at).where(repositories.c.id == known.id))
        if since is None:
            raise RepositoryUnknownError(name)
        try:
            await self.repositories.get(who, name, Permission.VIEW_PULLS)
        except DeniedError:
            return RepositorySight(name.text, since, is_administrator=False)
        return RepositorySight(name.text, since, is_administrator=True)

    def of_any(self, who: Principal) -> ColumnElement[bool]:
        anonymous = self.repositories.switches().anonymous_access
        return (
            exists()
            .where(
                repositories.c.full_name == events.c.repository,
                repositories.c.created_at <= events.c.published_at,
                visible_to(who, anonymous_access=anonymous),
            )
            .correlate(events)
        )
