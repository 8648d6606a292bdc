"""A metadata file of any role, as posted; and what other files say of it. Pure.

Rules: a file is kept as the bytes that were posted, and its signatures are over the canonical form of what they say, unknown
members included; its digests and its length are of the whole file. Its moments are RFC 3339.
Source: notary-protocol, part 0 (1 and 2), part 4, part 5 (step 1).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import msgspec

from lading.trust import canonical_json
from lading.trust.canonical_json import JSONInvalidError, JSONValue
from lading.trust.signatures import Signature

VERSION_LIMIT = 2**31 - 1
"""The largest version; more does not fit the integer that the stock server keeps it in."""

HASH_LENGTHS = {"sha256": 32, "sha512": 64}
"""The digests that files are known by, with their lengths in bytes."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_NEVER = "0001-01-01T00:00:00Z"  # what a file without `expires` says to clients


class _Signature(msgspec.Struct):
    keyid: str = ""
    method: str = ""
    sig: bytes | None = None


class _Common(msgspec.Struct, rename={"type": "_type"}):
    type: str = ""
    version: int = 0
    expires: str = _NEVER


class _Envelope(msgspec.Struct):
    signed: dict[str, Any]
    signatures: list[_Signature] | None = None


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What a file is known by: its digests, by algorithm and raw, and its size in bytes."""

    hashes: Mapping[str, bytes] = field(default_factory=dict)
    length: int = 0
    custom: Any = None  # JSON that users add to a target

    @classmethod
    def of(cls, data: bytes) -> Self:
        """What a snapshot or timestamp says of the file `data`."""
        return cls({name: hashlib.new(name, data).digest() for name in HASH_LENGTHS}, len(data))


@dataclass(frozen=True, slots=True)
class SignedFile:
    """A metadata file of any role: its bytes, untouched, and what stands in every one of them."""

    data: bytes = field(repr=False)
    signed: dict[str, JSONValue] = field(repr=False)
    signatures: tuple[Signature, ...] = field(repr=False)
    type: str
    version: int  # perhaps zero or less, which only the role's own rules refuse
    expires_at: datetime  # UTC, cut to microseconds

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The file that `data` spells. Errors: JSONInvalidError."""
        value = canonical_json.parse(data)
        try:
            envelope = msgspec.convert(value, _Envelope)
            common = msgspec.convert(envelope.signed, _Common)
        except msgspec.ValidationError as error:
            raise JSONInvalidError(f"not a metadata file: {error}") from error
        if common.version > VERSION_LIMIT:
            raise JSONInvalidError(f"not a metadata file: a version above {VERSION_LIMIT}")
        signatures = tuple(Signature(item.keyid, item.method, item.sig or b"") for item in envelope.signatures or ())
        return cls(data, envelope.signed, signatures, common.type, common.version, _moment(common.expires))

    def message(self) -> bytes:
        """The bytes that the signatures are over. Errors: JSONInvalidError, when there is a fraction among them."""
        return canonical_json.encode(self.signed)


def _moment(text: str) -> datetime:
    if _MOMENT.fullmatch(text) is None:
        raise JSONInvalidError("not a metadata file: `expires` is not a moment of RFC 3339")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the first and the last day may not be there elsewhere on earth
        raise JSONInvalidError(f"not a metadata file: {error}") from error
