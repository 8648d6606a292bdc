"""Names of repositories, tags and accounts, parsed once at the door. No path is built from anything else.

Sources: OCI distribution spec 1.1, "Pulling manifests" (name and reference grammars); DTR's rule that the first part of a
repository's name is the namespace.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from lading.core.digests import Digest
from lading.core.errors import InvalidError

NAME_LIMIT = 255  # characters of a whole repository name, as clients hold them (distribution reference grammar)

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})+", re.ASCII)
_SINGLE = re.compile(_PART, re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_ACCOUNT_LIMIT = 100


class NameInvalidError(InvalidError):
    """Not a repository's or an account's name."""

    code = "NAME_INVALID"


class TagInvalidError(InvalidError):
    """Not a tag. Source: OCI distribution spec, reference grammar."""

    code = "TAG_INVALID"


@dataclass(frozen=True, slots=True, order=True)
class RepositoryName:
    """A repository's whole name, `namespace/name`, the name perhaps deeper: `acme/team/app`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name that `text` spells. Errors: NameInvalidError, which tells single-part names what is missing."""
        return cls(_checked_repository(text))

    @property
    def namespace(self) -> str:
        """The first part: the account that owns the repository."""
        return self.text.partition("/")[0]

    @property
    def name(self) -> str:
        """All that follows the namespace."""
        return self.text.partition("/")[2]

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=16384)
def _checked_repository(text: str) -> str:
    if len(text) > NAME_LIMIT:
        raise NameInvalidError(f"a repository's name has at most {NAME_LIMIT} characters, this one has {len(text)}")
    if _REPOSITORY.fullmatch(text) is None:
        if _SINGLE.fullmatch(text) is not None:
            raise NameInvalidError(
                f"{text!r} has no namespace: name images as HOST/NAMESPACE/NAME, such as HOST/{text}/app or HOST/you/{text}"
            )
        raise NameInvalidError(
            f"{text!r} is not a repository's name: want NAMESPACE/NAME in lower-case letters and digits, "
            "parts separated by '/', inside them by '.', '_', '__' or '-'"
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A tag, at most 128 characters."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The tag that `text` spells. Errors: TagInvalidError."""
        if _TAG.fullmatch(text) is None:
            shown = text if len(text) <= NAME_LIMIT else text[:NAME_LIMIT] + "…"
            raise TagInvalidError(f"{shown!r} is not a tag: want up to 128 letters, digits, '.', '_' or '-'")
        return cls(text)

    def __str__(self) -> str:
        return self.text


Reference = Tag | Digest
"""What a manifest is asked for by."""


def parse_reference(text: str) -> Reference:
    """The tag or digest that `text` spells. Errors: TagInvalidError, DigestInvalidError (anything with a colon)."""
    return Digest.parse(text) if ":" in text else Tag.parse(text)


def check_account_name(text: str) -> str:
    """`text`, when it can be an account's name, and so a namespace: one part of a repository's name.

    Shape: lower-case letters and digits, inside separated by '.', '_', '__' or '-'; at most 100 characters.
    Errors: NameInvalidError.
    Source: DTR reference 1.6; a namespace must be a legal first part of a repository's name.
    """
    if len(text) > _ACCOUNT_LIMIT or _SINGLE.fullmatch(text) is None:
        raise NameInvalidError(
            f"{text[:_ACCOUNT_LIMIT]!r} can't be an account's name: want up to {_ACCOUNT_LIMIT} lower-case letters and digits, "
            "inside separated by '.', '_', '__' or '-'"
        )
    return text
