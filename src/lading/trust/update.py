"""An update of a repository's trust data: what is to be stored, or why not. Pure.

Rules, in order; the first that fails is the answer:
1. Every part names a role and is a metadata file; see `upload.py`.
2. The stored root, if any, is the one to go on from, expired or not.
3. A root has the version of the one before, or the next; it is signed by that one's keys and its own; it is not expired.
   Before the first stands version 1. Without any root there is nothing to do.
4. Targets and delegations, shallow before deep, are delegated, well made, signed by what the new root or their parent names,
   not expired. Ancestors that were not sent come from the store, where they may be expired.
5. A snapshot that was sent is signed by the root's snapshot key, not expired, and agrees with every file looked at so far. If
   none was sent, the server makes one, for which it needs the key, and either an earlier snapshot or targets.
6. The server makes a timestamp, for which it needs the key.
7. Every file to be stored is newer than any that is stored for its role.
Source: notary-protocol, part 5.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from lading.trust.delegations import find_weak_key, verify_delegated
from lading.trust.errors import (
    MetadataInvalidError,
    OldVersionError,
    RootInvalidError,
    SnapshotInvalidError,
    SnapshotMissingError,
    TargetsInvalidError,
    UpdateInvalidError,
)
from lading.trust.metadata import Root, Snapshot, Targets, Timestamp
from lading.trust.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, RoleName
from lading.trust.signed_files import SignedFile
from lading.trust.signing import UnsignedFile, choose_signers, next_snapshot, next_timestamp
from lading.trust.stored import StoredFiles, read_stored
from lading.trust.verification import Refused, Verdict, find_expiry, find_mismatch, verify_root, verify_threshold

_VERSION_BEFORE_FIRST = 1


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """What to store together: `posted` as they came, a snapshot if the server makes one, and a timestamp."""

    posted: Mapping[RoleName, SignedFile]  # root first, then targets shallow before deep, then the snapshot
    snapshot: UnsignedFile | None  # None: it is among those posted
    timestamp_before: Timestamp | None
    timestamp_keyids: tuple[str, ...]
    now: datetime

    def timestamp(self, snapshot: bytes) -> UnsignedFile:
        """The timestamp to sign, over the snapshot's finished file."""
        return next_timestamp(self.timestamp_before, snapshot, keyids=self.timestamp_keyids, now=self.now)


def plan_update(
    gun: str,
    upload: Mapping[RoleName, SignedFile],
    stored: StoredFiles,
    *,
    server_keys: Collection[str],
    now: datetime,
) -> UpdatePlan:
    """What to store for the files in `upload`, as `parse_upload` gives them.

    `server_keys` are the ids of the keys that the server holds for `gun`.
    Errors: UpdateInvalidError in its five forms, OldVersionError.
    """
    root_file, root = _root(gun, upload.get(ROOT), stored, now)
    loaded = _targets(root, upload, stored, now)
    files = {ROOT: root_file.data, **{name: file.data for name, (file, _) in loaded.items()}}
    made = None
    if SNAPSHOT in upload:
        _check_snapshot(upload[SNAPSHOT], root, files, now)
    else:
        made = _snapshot(root, files, stored.find_snapshot(), server_keys, now)
    posted = {name: upload[name] for name in sorted(upload, key=_place)}
    plan = _with_timestamp(posted, made, root, stored.find_timestamp(), server_keys, now)
    _check_versions(plan, stored.versions)
    return plan


def _root(gun: str, file: SignedFile | None, stored: StoredFiles, now: datetime) -> tuple[SignedFile, Root]:
    before_file = stored.find_file(ROOT)
    before = None if before_file is None else read_stored(Root.parse, before_file)
    if file is None:
        if before_file is None or before is None:
            raise UpdateInvalidError("no pre-existing root and no root provided in update.")
        return before_file, before
    current = _VERSION_BEFORE_FIRST if before is None else before.version
    if file.version not in {current, current + 1}:
        raise RootInvalidError(f"Root modifications must increment the version. Current {current}, new {file.version}")
    try:
        root = Root.parse(file)
    except MetadataInvalidError as error:
        raise RootInvalidError(error.message) from error
    _demand(verify_root(file, root, before=before, gun=gun, now=now), RootInvalidError)
    _check_expiry(file, ROOT, now, RootInvalidError)
    return file, root


_Loaded = dict[RoleName, tuple[SignedFile, Targets]]


def _targets(root: Root, upload: Mapping[RoleName, SignedFile], stored: StoredFiles, now: datetime) -> _Loaded:
    loaded: _Loaded = {}
    for name in sorted(filter(lambda item: item.is_targets, upload), key=_place):
        for ancestor in name.ancestors:
            found = None if ancestor in loaded else stored.find_file(ancestor)
            if found is not None:
                loaded[ancestor] = found, _verified_targets(ancestor, found, root, loaded)
        file = upload[name]
        content = _verified_targets(name, file, root, loaded)
        _check_expiry(file, name, now, TargetsInvalidError)
        loaded[name] = file, content
    return loaded


def _verified_targets(name: RoleName, file: SignedFile, root: Root, loaded: _Loaded) -> Targets:
    above = None if name.parent is None else loaded.get(name.parent)
    parent = None if above is None else above[1]
    delegation = None if parent is None else parent.find_delegation(name)
    if name.is_delegation and delegation is None:
        raise TargetsInvalidError(f"tuf: invalid role {name}. delegation does not exist")
    try:
        content = Targets.parse(file, name)
    except MetadataInvalidError as error:
        raise TargetsInvalidError(error.message) from error
    if parent is None or delegation is None:
        verdict = verify_threshold(file, TARGETS, root.keys_of(TARGETS), root.roles[TARGETS].threshold)
    else:
        weakness = find_weak_key(parent.keys_of(delegation).values())
        if weakness is not None:
            raise TargetsInvalidError(f"a certificate of {name} has {weakness}")
        verdict = verify_delegated(file, delegation, parent)
    _demand(verdict, TargetsInvalidError)
    return content


def _check_snapshot(file: SignedFile, root: Root, files: Mapping[RoleName, bytes], now: datetime) -> None:
    _demand(
        verify_threshold(file, SNAPSHOT, root.keys_of(SNAPSHOT), root.roles[SNAPSHOT].threshold), SnapshotInvalidError
    )
    try:
        snapshot = Snapshot.parse(file)
    except MetadataInvalidError as error:
        raise SnapshotInvalidError(error.message) from error
    _check_expiry(file, SNAPSHOT, now, SnapshotInvalidError)
    for name, data in files.items():
        mismatch = find_mismatch(snapshot.meta.get(name.text), data, name.text)
        if mismatch is not None:
            raise SnapshotInvalidError(mismatch)


def _snapshot(
    root: Root, files: Mapping[RoleName, bytes], before: Snapshot | None, server_keys: Collection[str], now: datetime
) -> UnsignedFile:
    if before is None and TARGETS not in files:
        raise UpdateInvalidError("targets must be loaded first")
    keyids = choose_signers(root.roles[SNAPSHOT], server_keys)
    if keyids is None:
        raise SnapshotMissingError
    return next_snapshot(before, files, keyids=keyids, now=now)


def _with_timestamp(
    posted: Mapping[RoleName, SignedFile],
    snapshot: UnsignedFile | None,
    root: Root,
    before: Timestamp | None,
    server_keys: Collection[str],
    now: datetime,
) -> UpdatePlan:
    keyids = choose_signers(root.roles[TIMESTAMP], server_keys)
    if keyids is None:
        raise RootInvalidError("no  timestamp keys exist on the server")  # two blanks, as the stock server has it
    return UpdatePlan(posted, snapshot, before, keyids, now)


def _check_versions(plan: UpdatePlan, highest: Mapping[RoleName, int]) -> None:
    versions = {name: file.version for name, file in plan.posted.items()}
    if plan.snapshot is not None:
        versions[SNAPSHOT] = plan.snapshot.version
    versions[TIMESTAMP] = plan.timestamp_before.version + 1 if plan.timestamp_before is not None else 1
    if any(version <= highest.get(name, 0) for name, version in versions.items()):
        raise OldVersionError


def _demand(verdict: Verdict, error: type[UpdateInvalidError]) -> None:
    if isinstance(verdict, Refused):
        raise error(verdict.reason)


def _check_expiry(file: SignedFile, name: RoleName, now: datetime, error: type[UpdateInvalidError]) -> None:
    expiry = find_expiry(file, name, now)
    if expiry is not None:
        raise error(expiry)


def _place(name: RoleName) -> tuple[int, int, str]:
    order = 0 if name == ROOT else 1 if name.is_targets else 2
    return order, name.depth, name.text
