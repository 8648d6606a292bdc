"""What a repository holds already, given whole to the rules that judge what comes next. Pure.

Rule: what is stored was checked when it came; if it cannot be read any more, the store is broken, which is no client's fault.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from lading.trust.canonical_json import JSONInvalidError
from lading.trust.errors import MetadataInvalidError
from lading.trust.metadata import Snapshot, Timestamp
from lading.trust.roles import SNAPSHOT, TIMESTAMP, RoleName
from lading.trust.signed_files import SignedFile

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The current file of each role, at least of those that are needed, where there is one.

    A file that cannot be read any more is a RuntimeError.
    """

    current: Mapping[RoleName, bytes]
    versions: Mapping[RoleName, int]  # the highest version stored for a role, current or not

    def find_file(self, name: RoleName) -> SignedFile | None:
        """The role's current file."""
        data = self.current.get(name)
        return None if data is None else read_stored(SignedFile.parse, data)

    def find_snapshot(self) -> Snapshot | None:
        """What the current snapshot says."""
        file = self.find_file(SNAPSHOT)
        return None if file is None else read_stored(Snapshot.parse, file)

    def find_timestamp(self) -> Timestamp | None:
        """What the current timestamp says."""
        file = self.find_file(TIMESTAMP)
        return None if file is None else read_stored(Timestamp.parse, file)


_Given = TypeVar("_Given")


def read_stored(parse: Callable[[_Given], _Read], given: _Given) -> _Read:
    """What `parse` makes of something that is stored. Errors: RuntimeError when it cannot be read any more."""
    try:
        return parse(given)
    except (JSONInvalidError, MetadataInvalidError) as error:
        raise RuntimeError(f"a stored metadata file cannot be read: {error}") from error
