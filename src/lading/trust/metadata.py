"""What metadata files say, by role: root, targets (delegations too), snapshot, timestamp. Pure.

Rules: what is absent or null is empty, but for what is asked of each role: its type, spelled with its capital; a version of at
least one; in a root the four base roles; thresholds of at least one; a key for every key id; in a targets file delegations
named directly below it; in a snapshot the sha256 of root and targets, in a timestamp that of the snapshot.
Source: notary-protocol, part 4; part 5, steps 4 and 5; part 5.1 a.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import msgspec

from lading.trust.errors import MetadataInvalidError, RoleInvalidError, shown
from lading.trust.keys import PublicKey
from lading.trust.roles import BASE_ROLES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Delegation, Role, RoleName
from lading.trust.signed_files import HASH_LENGTHS, FileMeta, SignedFile


class _KeyValue(msgspec.Struct):
    public: bytes


class _Key(msgspec.Struct):
    keytype: str
    keyval: _KeyValue


class _Role(msgspec.Struct):
    keyids: list[str] | None = None
    threshold: int = 0


class _Root(msgspec.Struct):
    keys: dict[str, _Key] | None = None
    roles: dict[str, _Role | None] | None = None
    consistent_snapshot: bool = False


class _Delegation(_Role):
    name: str = ""
    paths: list[str] | None = None


class _Delegations(msgspec.Struct):
    keys: dict[str, _Key] | None = None
    roles: list[_Delegation] | None = None


class _Targets(msgspec.Struct):
    targets: dict[str, FileMeta] | None = None
    delegations: _Delegations | None = None


class _Meta(msgspec.Struct):
    meta: dict[str, FileMeta] | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """Which keys speak for each base role. Keys that no role names may stand there too."""

    version: int
    keys: Mapping[str, PublicKey]
    roles: Mapping[RoleName, Role]  # the four base roles

    @classmethod
    def parse(cls, file: SignedFile) -> Self:
        """What `file` says as a root. Errors: MetadataInvalidError."""
        wire = _content(file, ROOT, "Root", _Root)
        keys, roles = _keys(wire.keys), wire.roles or {}
        for name in BASE_ROLES:
            _check_role(ROOT, name.text, roles.get(name.text), keys)
        return cls(file.version, keys, {name: _role(roles[name.text] or _Role()) for name in BASE_ROLES})

    def keys_of(self, name: RoleName) -> dict[str, PublicKey]:
        """The keys of a base role, by key id."""
        return {keyid: self.keys[keyid] for keyid in self.roles[name].keyids}


@dataclass(frozen=True, slots=True)
class Targets:
    """What a targets file, or a delegation's, vouches for, and to whom it delegates, in the order written."""

    name: RoleName
    version: int
    targets: Mapping[str, FileMeta]
    keys: Mapping[str, PublicKey]  # of the delegations
    delegations: tuple[Delegation, ...]

    @classmethod
    def parse(cls, file: SignedFile, name: RoleName) -> Self:
        """What `file` says as the targets file of `name`. Errors: MetadataInvalidError."""
        wire = _content(file, name, "Targets", _Targets)
        delegations = wire.delegations or _Delegations()
        keys = _keys(delegations.keys)
        children = tuple(_delegation(name, item, keys) for item in delegations.roles or ())
        return cls(name, file.version, wire.targets or {}, keys, children)

    def find_delegation(self, name: RoleName) -> Delegation | None:
        """The delegation to `name`, the first one when there are several."""
        return next((item for item in self.delegations if item.name == name), None)

    def keys_of(self, delegation: Delegation) -> dict[str, PublicKey]:
        """The keys of one of the delegations, by key id."""
        return {keyid: self.keys[keyid] for keyid in delegation.role.keyids}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which root, targets and delegation files belong together, by role."""

    version: int
    meta: Mapping[str, FileMeta]

    @classmethod
    def parse(cls, file: SignedFile) -> Self:
        """What `file` says as a snapshot. Errors: MetadataInvalidError."""
        meta = _content(file, SNAPSHOT, "Snapshot", _Meta).meta or {}
        for name in (ROOT, TARGETS):
            _check_meta(SNAPSHOT, name.text, meta.get(name.text))
        return cls(file.version, meta)


@dataclass(frozen=True, slots=True)
class Timestamp:
    """Which snapshot is the current one."""

    version: int
    snapshot: FileMeta

    @classmethod
    def parse(cls, file: SignedFile) -> Self:
        """What `file` says as a timestamp. Errors: MetadataInvalidError."""
        meta = _content(file, TIMESTAMP, "Timestamp", _Meta).meta or {}
        _check_meta(TIMESTAMP, SNAPSHOT.text, meta.get(SNAPSHOT.text))
        return cls(file.version, meta[SNAPSHOT.text])


_Wire = TypeVar("_Wire", bound=msgspec.Struct)


def _content(file: SignedFile, name: RoleName, expected: str, wire: type[_Wire]) -> _Wire:
    if file.type != expected:
        raise _invalid(name, f"expected type {expected}, not {shown(file.type)}")
    if file.version < 1:
        raise _invalid(name, "version cannot be less than one")
    try:
        return msgspec.convert(file.signed, wire)
    except msgspec.ValidationError as error:
        raise _invalid(name, str(error)) from error


def _invalid(name: RoleName, why: str) -> MetadataInvalidError:
    return MetadataInvalidError(f"{name} type metadata invalid: {why}")


def _check_role(holder: RoleName, name: str, role: _Role | None, keys: Mapping[str, PublicKey]) -> None:
    if role is None:
        raise _invalid(holder, f"missing {name} role specification")
    if role.threshold < 1:
        raise _invalid(holder, f"invalid threshold specified for {name}: {role.threshold} ")
    for keyid in role.keyids or ():
        if keyid not in keys:
            raise _invalid(holder, f"key ID {shown(keyid)} specified in {name} without corresponding key")


def _check_meta(holder: RoleName, name: str, meta: FileMeta | None) -> None:
    if meta is None or "sha256" not in meta.hashes:
        raise _invalid(holder, f"missing {name} sha256 checksum information")
    for algorithm, length in HASH_LENGTHS.items():
        if len(meta.hashes.get(algorithm, bytes(length))) != length:
            raise _invalid(holder, f"invalid {name} checksum information, {algorithm} has the wrong length")


def _delegation(holder: RoleName, wire: _Delegation, keys: Mapping[str, PublicKey]) -> Delegation:
    try:
        name = RoleName.parse(wire.name)
    except RoleInvalidError as error:
        raise _invalid(holder, f"delegation role {shown(wire.name)} invalid") from error
    if name.parent != holder:
        raise _invalid(holder, f"delegation role {name} invalid")
    _check_role(holder, name.text, wire, keys)
    return Delegation(name, _role(wire), tuple(wire.paths or ()))


def _role(wire: _Role) -> Role:
    return Role(tuple(dict.fromkeys(wire.keyids or ())), wire.threshold)


def _keys(wire: Mapping[str, _Key] | None) -> dict[str, PublicKey]:
    return {keyid: PublicKey(key.keytype, key.keyval.public) for keyid, key in (wire or {}).items()}
