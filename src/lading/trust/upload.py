"""The files of an update, as they came in. Pure.

Rules: a part's file name, without a `.json` at its end, is the role; a part is one metadata file; of two for a role the last
counts; a timestamp is read and then passed over, since only the server makes those.
Source: notary-protocol, part 3.1 and part 5 (step 1).
"""

from collections.abc import Iterable

from lading.trust.canonical_json import JSONInvalidError
from lading.trust.errors import FileNameMissingError, JSONMalformedError
from lading.trust.roles import ROOT, SNAPSHOT, TIMESTAMP, RoleName
from lading.trust.signed_files import SignedFile


def parse_upload(parts: Iterable[tuple[str, bytes]]) -> dict[RoleName, SignedFile]:
    """The files sent, by role, from the parts' file names and bytes in the order they came.

    Errors: FileNameMissingError, RoleInvalidError, JSONMalformedError; of the first part that is bad.
    """
    files: dict[RoleName, SignedFile] = {}
    for file_name, data in parts:
        text = file_name.removesuffix(".json")
        if not text:
            raise FileNameMissingError
        name = RoleName.parse(text)
        try:
            files[name] = SignedFile.parse(data)
        except JSONInvalidError as error:
            raise JSONMalformedError from error
    files.pop(TIMESTAMP, None)
    return files


def roles_needed(upload: Iterable[RoleName]) -> frozenset[RoleName]:
    """The roles whose stored current files an update of the roles in `upload` is judged by."""
    ancestors = (ancestor for name in upload for ancestor in name.ancestors)
    return frozenset({ROOT, SNAPSHOT, TIMESTAMP, *ancestors})
