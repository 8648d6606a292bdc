"""Digests: `algorithm:hex`, parsed once at the door.

Source: OCI image spec, descriptor.md, "Digests". Registered algorithms only; both are verified on every write.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

from lading.core.errors import InvalidError

_HEX_LENGTHS = {"sha256": 64, "sha512": 128}
_DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})", re.ASCII)

ALGORITHMS = tuple(_HEX_LENGTHS)


class DigestInvalidError(InvalidError):
    """Not a digest of a supported algorithm, or not the digest of what was sent."""

    code = "DIGEST_INVALID"


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A verified-in-form digest. `str()` gives `algorithm:hex`, lower case."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The digest that `text` spells.

        Errors: DigestInvalidError for any other text, upper-case hex and unknown algorithms included.
        """
        return cls(_checked(text))

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """The digest of `data`."""
        return cls(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")

    @classmethod
    def of_file(cls, path: Path, algorithm: str = "sha256") -> Self:
        """The digest of a file's content; blocks, so call it in a thread."""
        with path.open("rb") as file:
            return cls(f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}")

    @property
    def algorithm(self) -> str:
        return self.text[:6]

    @property
    def hex(self) -> str:
        return self.text[7:]

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=65536)
def _checked(text: str) -> str:
    if _DIGEST.fullmatch(text) is None:
        shown = text if len(text) <= 160 else text[:160] + "…"  # noqa: PLR2004 — an error line, not a dump
        raise DigestInvalidError(
            f"{shown!r} is not a digest: want sha256: and 64 hex digits, or sha512: and 128, in lower case"
        )
    return text
