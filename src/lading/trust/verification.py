"""Whether files are signed as they must be, by thresholds of distinct keys; and the passage from one root to the next. Pure.

Rules:
1. A file without signatures is refused.
2. Signatures by keys that the role does not name, and those that fail, are passed over.
3. A key whose id is not its digest is refused, and the file with it, as soon as the file claims its signature.
4. Distinct keys that signed must reach the threshold.
5. A root's own keys are certificates with a leaf named for the repository; a new root is signed by the leaves of the root
   before it, were they expired or not, and by its own, which are within their time.
Source: notary-protocol, parts 4.3, 5 and 5.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lading.trust.canonical_json import JSONInvalidError
from lading.trust.certificates import find_leaf, find_weakness, is_named_for, is_valid_at
from lading.trust.keys import PublicKey
from lading.trust.metadata import Root
from lading.trust.roles import ROOT, RoleName
from lading.trust.signatures import verify_signature
from lading.trust.signed_files import HASH_LENGTHS, FileMeta, SignedFile

_PATH = "could not validate the path to a trusted root"
_ROTATION = "could not rotate trust to a new trusted root"


@dataclass(frozen=True, slots=True)
class Verified:
    """Signed as it must be, by these keys."""

    keyids: frozenset[str]

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Refused:
    """Not so, and why, in the words that clients know."""

    reason: str

    def __bool__(self) -> bool:
        return False


Verdict = Verified | Refused


def verify_threshold(file: SignedFile, name: RoleName, keys: Mapping[str, PublicKey], threshold: int) -> Verdict:
    """Whether at least `threshold` of `keys`, given by key id, signed the file of the role `name`."""
    if not file.signatures:
        return Refused("data has no signatures")  # rule 1
    try:
        message = file.message()
    except JSONInvalidError as error:
        return Refused(error.message)
    valid: set[str] = set()
    for signature in file.signatures:
        key = keys.get(signature.keyid)
        if key is None or signature.keyid in valid:  # rule 2
            continue
        if key.id != signature.keyid:  # rule 3
            return Refused("key ID is not valid for key content")
        if verify_signature(key, signature, message):
            valid.add(signature.keyid)
    if len(valid) < max(threshold, 1):  # rule 4
        return Refused(f"valid signatures did not meet threshold for {name}")
    return Verified(frozenset(valid))


def verify_root(file: SignedFile, root: Root, *, before: Root | None, gun: str, now: datetime) -> Verdict:
    """Whether `file`, which says `root`, is one that `gun` may go by; `before` is the root so far, None at the first.

    Its version and expiry are not looked at.
    """
    leaves = _leaves(root, gun, now)
    if not leaves:
        return Refused(f"{_PATH}: unable to retrieve valid leaf certificates")
    if before is not None and not verify_threshold(
        file, ROOT, _leaves(before, gun, None), before.roles[ROOT].threshold
    ):
        return Refused(f"{_ROTATION}: failed to validate data with current trusted certificates")
    verdict = verify_threshold(file, ROOT, leaves, root.roles[ROOT].threshold)
    return verdict or Refused(f"{_PATH}: failed to validate integrity of roots")


def find_expiry(file: SignedFile, name: RoleName, now: datetime) -> str | None:
    """The sentence that the file is expired; None while it is not."""
    if now <= file.expires_at:
        return None
    moment = file.expires_at
    day = f"{_DAYS[moment.weekday()]} {_MONTHS[moment.month - 1]} {moment.day}"
    return f"{name} expired at {day} {moment:%H:%M:%S} UTC {moment.year}"


def find_mismatch(meta: FileMeta | None, data: bytes, name: str) -> str | None:
    """How `data`, the file of the role `name`, differs from what `meta` says of it; None when it does not."""
    claimed = {} if meta is None else meta.hashes
    found = FileMeta.of(data).hashes
    for algorithm in reversed(HASH_LENGTHS):
        if algorithm in claimed and claimed[algorithm] != found[algorithm]:
            return f"{algorithm} checksum for {name} did not match: expected {claimed[algorithm].hex()}"
    if not claimed.keys() & found.keys():
        return f"tuf: sha256 checksum required for {name}"
    return None


def _leaves(root: Root, gun: str, now: datetime | None) -> dict[str, PublicKey]:
    """The keys that may sign as root, by key id; with `now` None, whatever their time (rule 5)."""
    return {keyid: key for keyid, key in root.keys_of(ROOT).items() if _is_leaf_of(key, gun, now)}


def _is_leaf_of(key: PublicKey, gun: str, now: datetime | None) -> bool:
    leaf = find_leaf(key)
    return (
        leaf is not None
        and is_named_for(leaf, gun)
        and find_weakness(leaf) is None
        and (now is None or is_valid_at(leaf, now))
    )


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
