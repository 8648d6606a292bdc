"""Repositories: making, listing, changing and deleting them. Every change is an event in the same unit of work.

What a caller may not see does not exist for him: the same error as for a name that nobody has.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, select

from lading.access import Permission, Principal, Repository, Visibility, decide
from lading.accounts import store as accounts
from lading.accounts.account_access import AccountAccess
from lading.accounts.errors import AccountUnknownError
from lading.accounts.grant_store import delete_grants_on
from lading.accounts.rights import Rights
from lading.core.clock import Clock
from lading.core.errors import InvalidError
from lading.core.names import RepositoryName
from lading.database import Database, Point
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.registry import repository_store
from lading.registry.creation import create_repository
from lading.registry.dtr_errors import (
    NamespaceUnknownError,
    NotYoursError,
    RepositoryExistsError,
    RepositoryUnknownError,
)
from lading.registry.errors import DisabledError
from lading.registry.repository_store import StoredRepository
from lading.registry.switches import CurrentSwitches
from lading.registry.tables import repositories
from lading.registry.visible_store import page_of_visible
from lading.web.paging import Page, Paging

_VISIBILITY = Point(select(repositories.c.visibility).where(repositories.c.full_name == bindparam("name")))


class RepositoryVisibility:
    """Answers `accounts.token_service.Repositories`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def visibility_of(self, names: Collection[RepositoryName]) -> Mapping[RepositoryName, Visibility]:
        if len(names) == 1:  # what clients mostly ask, on the path that has to be fast
            (name,) = names
            row = await self._database.points.first(_VISIBILITY, name=name.text)
            return {} if row is None else {name: Visibility(row[0])}
        async with self._database.read() as connection:
            found = await connection.execute(
                select(repositories.c.full_name, repositories.c.visibility).where(
                    repositories.c.full_name.in_([name.text for name in names])
                )
            )
            return {RepositoryName(row.full_name): Visibility(row.visibility) for row in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryChanges:
    """What is to be set; None leaves it as it is."""

    visibility: Visibility | None = None
    short_description: str | None = None
    long_description: str | None = None
    immutable_tags: bool | None = None
    scan_on_push: bool | None = None
    enable_manifest_lists: bool | None = None
    tag_limit: int | None = None

    def values(self) -> dict[str, Any]:
        """What is given, by column."""
        named = {
            "visibility": self.visibility,
            "short_description": self.short_description,
            "long_description": self.long_description,
            "immutable_tags": self.immutable_tags,
            "scan_on_push": self.scan_on_push,
            "enable_manifest_lists": self.enable_manifest_lists,
            "tag_limit": self.tag_limit,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Repositories:
    """The use cases of repositories."""

    database: Database
    clock: Clock
    switches: CurrentSwitches

    async def list(self, principal: Principal, namespace: str | None, paging: Paging) -> Page[StoredRepository]:
        """Those that the caller may view, in order of their whole names; of one namespace when it is given.

        Errors: NamespaceUnknownError when the caller sees neither anything in the namespace nor its account.
        """
        anonymous = self.switches().anonymous_access
        page = await page_of_visible(self.database, principal, namespace, paging, anonymous_access=anonymous)
        if not page.items and namespace is not None and not paging.start:
            try:
                await AccountAccess(self.database).view(principal, namespace)
            except AccountUnknownError as error:
                raise NamespaceUnknownError(namespace) from error
        return page

    async def search(
        self, principal: Principal, word: str, namespace: str | None, paging: Paging
    ) -> Page[StoredRepository]:
        """Those that the caller may view with the word in their whole names, in order; of one namespace when it is given."""
        anonymous = self.switches().anonymous_access
        return await page_of_visible(
            self.database, principal, namespace, paging, anonymous_access=anonymous, contains=word
        )

    async def get(
        self, principal: Principal, name: RepositoryName, permission: Permission = Permission.VIEW
    ) -> StoredRepository:
        """The repository, on which the caller has the permission.

        Errors: RepositoryUnknownError for what he may not view; NotYoursError for what he views and may not do.
        """
        async with self.database.read() as connection:
            found = await repository_store.find_repository(connection, name)
        anonymous = self.switches().anonymous_access
        resource = Repository(name.namespace, name.name, None if found is None else found.visibility)
        holder = await Rights(self.database.points).about(principal, name.namespace, name.name)
        if found is None or not decide(holder, Permission.VIEW, resource, anonymous_access=anonymous):
            raise RepositoryUnknownError(name)
        if not decide(holder, permission, resource, anonymous_access=anonymous):
            raise NotYoursError(f"change {name}")
        return found

    async def create(self, principal: Principal, name: RepositoryName, changes: RepositoryChanges) -> StoredRepository:
        """A new repository, private when nothing else is said.

        Errors: NotYoursError, the same whether the namespace exists; NamespaceUnknownError; RepositoryExistsError.
        """
        holder = await Rights(self.database.points).about(principal, name.namespace, name.name)
        if not decide(holder, Permission.CREATE_REPOSITORY, Repository(name.namespace, name.name)):
            raise NotYoursError(f"create repositories in {name.namespace}")
        now, values = self.clock.now(), changes.values()
        _check_limit(immutable=bool(changes.immutable_tags), limit=changes.tag_limit or 0)
        async with self.database.write() as unit:
            if await accounts.find_account(unit, name.namespace) is None:
                raise NamespaceUnknownError(name.namespace)
            if await repository_store.find_repository(unit, name) is not None:
                raise RepositoryExistsError(name)
            repository_id = await create_repository(unit, name, by=principal.account_id, now=now)
            if values:
                await repository_store.change_repository(unit, repository_id, now, **values)
            made = await repository_store.find_repository(unit, name)
        if made is None:
            raise RepositoryUnknownError(name)
        return made

    async def change(self, principal: Principal, name: RepositoryName, changes: RepositoryChanges) -> StoredRepository:
        """The repository with what was given changed. Errors: as `get`; InvalidError."""
        known = await self.get(principal, name, Permission.EDIT_REPOSITORY)
        values = changes.values()
        if not values:
            return known
        changed = replace(known, **values)
        _check_limit(immutable=changed.immutable_tags, limit=changed.tag_limit)
        now = self.clock.now()
        async with self.database.write() as unit:
            await repository_store.change_repository(unit, known.id, now, **values)
            await record(unit, now, _event(EventType.UPDATE, principal, known, ", ".join(sorted(values))))
        return changed

    async def delete(self, principal: Principal, name: RepositoryName) -> None:
        """The repository is gone with all its tags and manifests; bytes that nobody else needs go by garbage collection.

        Errors: as `get`; DisabledError while nothing may be deleted.
        """
        known = await self.get(principal, name, Permission.DELETE_REPOSITORY)
        check_deletes(self.switches)
        async with self.database.write() as unit:
            if not await repository_store.delete_repository(unit, known.id):
                raise RepositoryUnknownError(name)
            await delete_grants_on(unit, name.text)
            await record(unit, self.clock.now(), _event(EventType.DELETE, principal, known, ""))


def check_deletes(switches: CurrentSwitches) -> None:
    """Returns while content may be deleted. Errors: DisabledError."""
    now = switches()
    if now.read_only:
        raise DisabledError("the registry is in read-only mode")
    if not now.deletes:
        raise DisabledError("deletion is switched off (registry.deletes)")


def _check_limit(*, immutable: bool, limit: int) -> None:
    # Source: DTR reference 1.4.
    if immutable and limit:
        raise InvalidError("tagLimit and immutableTags contradict each other: set one of them")


def _event(kind: EventType, principal: Principal, known: StoredRepository, content: str) -> Event:
    actor, name = Actor.account(principal.account_id), known.name.text
    return Event(kind, actor, ObjectType.REPOSITORY, known.id, object_name=name, repository=name, content=content)
