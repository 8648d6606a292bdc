"""Making an expired snapshot or timestamp anew, when somebody reads it. Pure.

Rules: an expired snapshot is made anew over the same files; a timestamp is made anew when it is expired, or its snapshot was;
both one version up. Under an expired root, nothing is.
Source: notary-protocol, part 7.1.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from lading.trust.errors import RenewalError, SigningKeysMissingError
from lading.trust.metadata import Root, Snapshot, Timestamp
from lading.trust.roles import ROOT, SNAPSHOT, TIMESTAMP, Role
from lading.trust.signing import UnsignedFile, choose_signers, next_snapshot, next_timestamp
from lading.trust.stored import StoredFiles, read_stored
from lading.trust.verification import find_expiry


@dataclass(frozen=True, slots=True)
class RenewalPlan:
    """What to store together: a timestamp, over the snapshot made anew, or over the one there is."""

    snapshot: UnsignedFile | None  # None: the one there is still holds
    snapshot_before: bytes
    timestamp_before: Timestamp
    timestamp_keyids: tuple[str, ...]
    now: datetime

    def timestamp(self, snapshot: bytes | None = None) -> UnsignedFile:
        """The timestamp to sign, over the finished file of the snapshot made anew, if one is."""
        over = self.snapshot_before if snapshot is None else snapshot
        return next_timestamp(self.timestamp_before, over, keyids=self.timestamp_keyids, now=self.now)


def plan_renewal(stored: StoredFiles, *, server_keys: Collection[str], now: datetime) -> RenewalPlan | None:
    """What to make anew; None when nothing is expired, or not all of root, snapshot and timestamp are stored.

    Errors: SigningKeysMissingError; RenewalError when the root is expired too.
    """
    root_file, snapshot_file, timestamp_file = map(stored.find_file, (ROOT, SNAPSHOT, TIMESTAMP))
    if root_file is None or snapshot_file is None or timestamp_file is None:
        return None
    stale = find_expiry(snapshot_file, SNAPSHOT, now) is not None
    if not stale and find_expiry(timestamp_file, TIMESTAMP, now) is None:
        return None
    if find_expiry(root_file, ROOT, now) is not None:
        raise RenewalError({})
    root, made = read_stored(Root.parse, root_file), None
    if stale:
        before = read_stored(Snapshot.parse, snapshot_file)
        made = next_snapshot(before, {}, keyids=_signers(root.roles[SNAPSHOT], server_keys), now=now)
    timestamp = read_stored(Timestamp.parse, timestamp_file)
    return RenewalPlan(made, snapshot_file.data, timestamp, _signers(root.roles[TIMESTAMP], server_keys), now)


def _signers(role: Role, server_keys: Collection[str]) -> tuple[str, ...]:
    keyids = choose_signers(role, server_keys)
    if keyids is None:
        missing = [keyid for keyid in role.keyids if keyid not in server_keys]
        raise SigningKeysMissingError(found=len(role.keyids) - len(missing), needed=role.threshold, missing=missing)
    return keyids
