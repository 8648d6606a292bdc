"""How a REST client asks for a page, and how it is told of the next. Source: DTR reference 1.1."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Response

from lading.web.paging import PAGE_LIMIT, Page, Paging

_Item = TypeVar("_Item")


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
