"""Lists of `/v2`: tags, the catalog, referrers. Each page is one index look-up, however long the list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from lading.access import Principal
from lading.core.digests import Digest
from lading.core.media_types import OCI_INDEX
from lading.core.names import RepositoryName
from lading.database import Database
from lading.registry import store
from lading.registry.challenge import Caller
from lading.registry.errors import NameUnknownError, PageInvalidError
from lading.registry.points import RegistryPoints

PAGE_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list; `next_after` is where the next page begins, None on the last."""

    items: Sequence[Any]
    next_after: str | None


def page_size(text: str | None) -> int:
    """How many entries a client asks for, clamped to PAGE_LIMIT. Errors: PageInvalidError for what is no whole number."""
    if text is None:
        return PAGE_LIMIT
    if not (text.isascii() and text.isdigit()):
        raise PageInvalidError(f"n is {text[:40]!r}: want a whole number, 0 or more")
    return min(int(text[:20]), PAGE_LIMIT)


def _page(found: Sequence[Any], size: int, key: str | None = None) -> Page:
    """`found` holds one more than a page when there is more."""
    if len(found) <= size:
        return Page(found, None)
    last = found[size - 1]
    return Page(found[:size], str(last if key is None else getattr(last, key)))


@dataclass(frozen=True)
class Listings:
    """The use cases of listing."""

    database: Database
    points: RegistryPoints

    async def tags(self, caller: Caller, name: RepositoryName, *, after: str, size: int) -> Page:
        """Tags in code point order. Errors: ChallengeError, NameUnknownError."""
        caller.require(name, "pull")
        asked = await self.points.repository(caller.asker, name)
        caller.check(asked, "pull")
        if asked.repository_id is None:
            raise NameUnknownError(name)
        if size == 0:
            return Page([], None)
        async with self.database.read() as connection:
            found = await store.list_tags(connection, asked.repository_id, after=after, limit=size + 1)
        return _page(found, size)

    async def referrers(
        self, caller: Caller, name: RepositoryName, subject: Digest, *, artifact_type: str | None, after: str, size: int
    ) -> Page:
        """Descriptors of manifests whose subject is the digest, which itself need not be here.

        Shape: JSON objects in digest order; none for a repository that is not there. Errors: ChallengeError.
        Source: OCI distribution spec 1.1, "Listing Referrers".
        """
        caller.require(name, "pull")
        asked = await self.points.repository(caller.asker, name)
        caller.check(asked, "pull")
        if asked.repository_id is None or size == 0:
            return Page([], None)  # never 404: clients would take it for a registry without this endpoint
        async with self.database.read() as connection:
            found = await store.list_referrers(
                connection, asked.repository_id, subject, artifact_type=artifact_type, after=after, limit=size + 1
            )
        page = _page(found, size, "digest")
        return Page([_descriptor(row) for row in page.items], page.next_after)

    async def catalog(self, principal: Principal, *, anonymous_access: bool, after: str, size: int) -> Page:
        """Names of the repositories that `principal` may view, in code point order."""
        if size == 0:
            return Page([], None)
        visible = store.visible_to(principal, anonymous_access=anonymous_access)
        async with self.database.read() as connection:
            found = await store.list_repositories(connection, visible, after=after, limit=size + 1)
        return _page(found, size)


def _descriptor(row: Any) -> dict[str, Any]:
    descriptor: dict[str, Any] = {"mediaType": row.media_type, "digest": row.digest, "size": row.size}
    if row.artifact_type:
        descriptor["artifactType"] = row.artifact_type
    if row.annotations:
        descriptor["annotations"] = msgspec.Raw(row.annotations.encode())
    return descriptor


def referrers_index(page: Page) -> bytes:
    """The OCI index that a page of referrers is."""
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page.items})
