"""Who may vouch for which targets: delegations of any depth, and their paths. Pure.

Rules:
1. The keys of `targets` stand in the root; those of a delegation in its parent's file, and in nobody else's.
2. A delegation counts when its parent does, and the parent names it, and enough of its keys signed its file.
3. A delegation may speak of names that begin with one of its paths; of these only such count as begin with a path that its
   parent has. `targets` has all.
4. A certificate of a delegation may be expired, but not weak.
Source: notary-protocol, parts 4, 5 (step 4) and 11.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lading.trust.certificates import find_weakness
from lading.trust.errors import MetadataInvalidError
from lading.trust.keys import KeyInvalidError, PublicKey
from lading.trust.metadata import Root, Targets
from lading.trust.roles import TARGETS, Delegation, RoleName
from lading.trust.signed_files import FileMeta, SignedFile
from lading.trust.verification import Verdict, Verified, verify_threshold

_EVERYTHING = ("",)


@dataclass(frozen=True, slots=True)
class VouchedTargets:
    """A targets file that counts, who signed it, and how far its word reaches."""

    content: Targets
    keyids: frozenset[str]
    paths: tuple[str, ...]  # the beginnings of the names it may speak of

    def find(self, target: str) -> FileMeta | None:
        """What the role vouches for under the name `target`; None when it says nothing, or may not."""
        return self.content.targets.get(target) if target.startswith(self.paths) else None


def verify_targets(root: Root, files: Mapping[RoleName, SignedFile]) -> dict[RoleName, VouchedTargets]:
    """Those of `files` that count, each parent before its children, children in the order their parent names them.

    Shape: files that are missing, broken or not signed enough are left out, with all that they delegate to. Expiry is the
    caller's to judge, by leaving out what is expired.
    """
    found: dict[RoleName, VouchedTargets] = {}
    top = _vouched(files.get(TARGETS), TARGETS, root.keys_of(TARGETS), root.roles[TARGETS].threshold, _EVERYTHING)
    waiting = [top] if top is not None else []
    while waiting:
        parent = waiting.pop()
        found[parent.content.name] = parent
        waiting += reversed([child for child in _children(parent, files) if child.content.name not in found])
    return found


def verify_delegated(file: SignedFile, delegation: Delegation, parent: Targets) -> Verdict:
    """Whether the delegation's file is signed by enough of the keys that its parent names."""
    return verify_threshold(file, delegation.name, parent.keys_of(delegation), delegation.role.threshold)


def find_weak_key(keys: Iterable[PublicKey]) -> str | None:
    """What is too weak about the first weak certificate among `keys`; None when nothing is (rule 4)."""
    for key in keys:
        if not key.is_certificate:
            continue
        try:
            weakness = find_weakness(key.certificates()[0])
        except KeyInvalidError:
            continue  # it verifies nothing, so it cannot do harm
        if weakness is not None:
            return weakness
    return None


def restrict(paths: Iterable[str], parent_paths: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a delegation's `paths` that are within its parent's (rule 3)."""
    return tuple(path for path in paths if path.startswith(parent_paths))


def _children(parent: VouchedTargets, files: Mapping[RoleName, SignedFile]) -> Iterator[VouchedTargets]:
    seen: set[RoleName] = set()
    for delegation in parent.content.delegations:
        if delegation.name in seen:  # the first mention counts
            continue
        seen.add(delegation.name)
        keys, role = parent.content.keys_of(delegation), delegation.role
        if find_weak_key(keys.values()) is None:
            paths = restrict(delegation.paths, parent.paths)
            child = _vouched(files.get(delegation.name), delegation.name, keys, role.threshold, paths)
            if child is not None:
                yield child


def _vouched(
    file: SignedFile | None, name: RoleName, keys: Mapping[str, PublicKey], threshold: int, paths: tuple[str, ...]
) -> VouchedTargets | None:
    if file is None:
        return None
    try:
        content = Targets.parse(file, name)
    except MetadataInvalidError:
        return None
    verdict = verify_threshold(file, name, keys, threshold)
    return VouchedTargets(content, verdict.keyids, paths) if isinstance(verdict, Verified) else None
