"""Pages of the REST doors, as values: keyset, so that a page costs the same wherever it lies. Source: DTR reference 1.1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

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
