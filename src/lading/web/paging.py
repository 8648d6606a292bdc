"""Pages of the REST doors: keyset, so that a page costs the same wherever it lies. Source: DTR reference 1.1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query, Response

PAGE_LIMIT = 10_000
"""Entries of the largest page; larger ones asked for become this one, and the header tells where it goes on."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page is asked for. `start` is the key of its first entry, empty for the first page."""

    size: int
    start: str
    count: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """One page. `next_start` is the key of the next one's first entry, None on the last; `total` only when asked for."""

    items: Sequence[_Item]
    next_start: str | None = None
    total: int | None = None


def asked_page(
    page_size: Annotated[int, Query(alias="pageSize", ge=1, description="entries of a page")] = 10,
    page_start: Annotated[
        str, Query(alias="pageStart", max_length=512, description="X-Next-Page-Start of the last")
    ] = "",
    count: Annotated[bool, Query(description="tell how many there are in X-Resource-Count")] = False,  # noqa: FBT002 — a query parameter
) -> Paging:
    return Paging(min(page_size, PAGE_LIMIT), page_start, count)


AskedPage = Annotated[Paging, Depends(asked_page)]


def tell_page(page: Page[_Item], response: Response) -> Sequence[_Item]:
    """The page's entries; the headers tell where the next page begins, and how many entries there are."""
    if page.next_start is not None:
        response.headers["X-Next-Page-Start"] = page.next_start
    if page.total is not None:
        response.headers["X-Resource-Count"] = str(page.total)
    return page.items
