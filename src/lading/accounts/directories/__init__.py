"""Places elsewhere that know users: one file each, and the word in the settings is the file's name.

A directory tells who someone is and who belongs together; it never decides what anyone may do here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from lading.core.errors import InvalidError, UnavailableError


class DirectoryUnavailableError(UnavailableError):
    """The directory can't be asked now; nobody comes in by it meanwhile."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the directory does not answer: {why}")


class DirectoryInvalidError(InvalidError):
    """The directory answers, and what the settings ask of it can't be."""

    code = "INVALID_SETTINGS"


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """Someone in a directory. `id` is what it knows him by there (a DN, a subject); `name` can be an account's name."""

    id: str
    name: str
    full_name: str = ""
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that can't become an account, and why."""

    id: str
    why: str


class Directory(Protocol):
    """What sign-in and sync ask, for one question or one sync. All of it blocks: call it from a thread, then close it.

    Errors, of every method: DirectoryUnavailableError; DirectoryInvalidError when it refuses what the settings ask.
    """

    def find(self, name: str) -> DirectoryUser | None:
        """The user who signs in by that name; the first, where several places know one."""
        ...

    def check(self, user: DirectoryUser, password: str) -> bool:
        """True when it is his password, and he may sign in there now. Never for an empty one."""
        ...

    def knows(self, user_id: str, name: str) -> bool:
        """True while the entry of that id is there as a user of that name."""
        ...

    def iter_users(self) -> Iterator[DirectoryUser | LeftOut]:
        """All users, and the entries that can't be any. Names may come twice: the first counts."""
        ...

    def members(self, group: "MemberSyncOptions") -> frozenset[str]:
        """The ids, as `same_id` spells them, of those whom the options select."""
        ...

    def is_member(self, group: "MemberSyncOptions", user: DirectoryUser) -> bool:
        """True when the options select the user."""
        ...

    def explain(self, name: str) -> list[str]:
        """What an administrator wants to know of a name: which places know it, or why none does."""
        ...

    def same_id(self, user_id: str) -> str:
        """One spelling of an id, for those that the directory may spell in several."""
        ...

    def close(self) -> None:
        """All connections are given back."""
        ...


class MemberSyncOptions(Protocol):
    """Which users belong somewhere. Filled by `ldap_settings.MemberSync`."""

    @property
    def is_on(self) -> bool: ...


def first_of_each_name(found: Iterable[DirectoryUser | LeftOut]) -> Iterator[DirectoryUser | LeftOut]:
    """The users, each name once: later ones of the same name are left out. Source: DTR reference 1.6, "LDAP behaviour"."""
    seen: dict[str, str] = {}
    for one in found:
        if isinstance(one, LeftOut):
            yield one
        elif one.name not in seen:
            seen[one.name] = one.id
            yield one
        elif seen[one.name] != one.id:
            yield LeftOut(one.id, f"the name {one.name} is {seen[one.name]}'s already: the first one found has it")
