"""Snapshots and timestamps that the server makes: what is to be signed, and the file once it is. Pure; keys stay outside.

Rules: a file made is one version above the one before it, the first has version one; a snapshot lives three years, a
timestamp fourteen days; every key of the role that the server holds signs, and they must reach the role's threshold.
Source: notary-protocol, parts 4, 4.5 and 5 (steps 5 and 6).
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lading.trust import canonical_json
from lading.trust.canonical_json import JSONValue
from lading.trust.metadata import Snapshot, Timestamp
from lading.trust.roles import SNAPSHOT, TIMESTAMP, Role, RoleName
from lading.trust.signatures import Signature
from lading.trust.signed_files import FileMeta

SNAPSHOT_LIFE = timedelta(days=3 * 365)
TIMESTAMP_LIFE = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class UnsignedFile:
    """A file to be: `message` is what each of the keys `keyids` has to sign."""

    name: RoleName
    version: int
    message: bytes
    keyids: tuple[str, ...]

    def complete(self, signatures: Sequence[Signature]) -> bytes:
        """The file, with one signature by each of `keyids`. Signatures by others are our own mistake: RuntimeError."""
        if sorted(item.keyid for item in signatures) != sorted(self.keyids):
            raise RuntimeError(f"the {self.name} is to be signed by {self.keyids}, and was by others")
        listed: list[JSONValue] = [_signature(item) for item in signatures]
        return b'{"signed":' + self.message + b',"signatures":' + canonical_json.encode(listed) + b"}"


def choose_signers(role: Role, server_keys: Collection[str]) -> tuple[str, ...] | None:
    """The key ids of the role that the server holds, in the root's order; None when they are too few for its threshold."""
    held = tuple(keyid for keyid in role.keyids if keyid in server_keys)
    return held if len(held) >= role.threshold else None


def next_snapshot(
    before: Snapshot | None, changed: Mapping[RoleName, bytes], *, keyids: tuple[str, ...], now: datetime
) -> UnsignedFile:
    """The snapshot after `before`: the same files, but for those of the roles in `changed`, which are given whole."""
    meta = {} if before is None else dict(before.meta)
    meta.update({name.text: FileMeta.of(data) for name, data in changed.items()})
    return _unsigned(SNAPSHOT, "Snapshot", before.version if before else 0, meta, now + SNAPSHOT_LIFE, keyids)


def next_timestamp(
    before: Timestamp | None, snapshot: bytes, *, keyids: tuple[str, ...], now: datetime
) -> UnsignedFile:
    """The timestamp after `before`, over the finished file `snapshot`."""
    meta = {SNAPSHOT.text: FileMeta.of(snapshot)}
    return _unsigned(TIMESTAMP, "Timestamp", before.version if before else 0, meta, now + TIMESTAMP_LIFE, keyids)


def _unsigned(
    name: RoleName,
    kind: str,
    version_before: int,
    meta: Mapping[str, FileMeta],
    expires_at: datetime,
    keyids: tuple[str, ...],
) -> UnsignedFile:
    signed: dict[str, JSONValue] = {
        "_type": kind,
        "expires": _moment(expires_at),
        "meta": {role: _meta(item) for role, item in meta.items()},
        "version": version_before + 1,
    }
    return UnsignedFile(name, version_before + 1, canonical_json.encode(signed), keyids)


def _meta(item: FileMeta) -> JSONValue:
    return {
        "hashes": {name: base64.b64encode(raw).decode() for name, raw in item.hashes.items()},
        "length": item.length,
    }


def _signature(item: Signature) -> JSONValue:
    return {"keyid": item.keyid, "method": item.method, "sig": base64.b64encode(item.sig).decode()}


def _moment(moment: datetime) -> str:
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return text.rstrip("0").rstrip(".") + "Z"
