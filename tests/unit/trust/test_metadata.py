"""Files read and judged by their structure alone, versions, expiry, and what is made anew on reading."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.trust.canonical_json import JSONInvalidError
from lading.trust.errors import (
    MetadataInvalidError,
    OldVersionError,
    RenewalError,
    RootInvalidError,
    SigningKeysMissingError,
)
from lading.trust.metadata import Root, Snapshot, Targets, Timestamp
from lading.trust.renewal import plan_renewal
from lading.trust.roles import ROOT, TARGETS, RoleName
from lading.trust.signed_files import VERSION_LIMIT, FileMeta, SignedFile
from lading.trust.stored import StoredFiles
from lading.trust.update import plan_update
from lading.trust.upload import parse_upload
from lading.trust.verification import find_expiry, find_mismatch
from support.publishing import GUN, LONG_AGO, NOW, Publisher, signed, stored, targets_document, written

P = Publisher()
SERVER = {P.snapshot_key.id, P.timestamp_key.id}


def file_of(**changes: Any) -> SignedFile:
    return SignedFile.parse(signed(targets_document(**changes)))


@given(st.text(max_size=5), st.integers(0, 2**53), st.binary(min_size=32, max_size=32), st.integers(1, VERSION_LIMIT))
def test_what_is_written_is_read(name: str, length: int, sha256: bytes, version: int) -> None:
    meta = {"hashes": {"sha256": b64(sha256)}, "length": length, "custom": {"a": [name]}}
    file = file_of(targets={name: meta}, version=version)
    content = Targets.parse(file, TARGETS)
    assert content.targets == {name: FileMeta({"sha256": sha256}, length, {"a": [name]})}
    assert (content.version, content.delegations) == (version, ())
    assert json.loads(file.data)["signed"] == file.signed


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "signed_part",
    [
        {"_type": "Targets", "version": 1, "expires": "2030-01-01T00:00:00Z"},
        {"_type": "Targets", "version": 1, "targets": None, "delegations": None},
        {"_type": "Targets", "version": 1, "delegations": {}},
        {"_type": "Targets", "version": 1, "delegations": {"roles": None, "keys": None}, "more": [{"x": 1}]},
    ],
)
def test_what_is_absent_or_null_is_empty(signed_part: dict[str, Any]) -> None:
    content = Targets.parse(SignedFile.parse(signed(signed_part)), TARGETS)
    assert (content.targets, content.delegations, content.keys) == ({}, (), {})


def test_a_delegation_without_paths_or_keys_is_read() -> None:
    roles = [{"name": "targets/a", "threshold": 1, "keyids": None}]
    content = Targets.parse(file_of(delegations={"keys": {}, "roles": roles}), TARGETS)
    assert [(item.name.text, item.paths, item.role.keyids) for item in content.delegations] == [("targets/a", (), ())]


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"null",
        b'{"signatures":[]}',
        b'{"signed":null,"signatures":[]}',
        b'{"signed":{"version":1.0}}',
        b'{"signed":{"version":true}}',
        b'{"signed":{"version":2147483648}}',
        b'{"signed":{"_type":7}}',
        b'{"signed":{"expires":"tomorrow"}}',
        b'{"signed":{"expires":"2030-13-01T00:00:00Z"}}',
        b'{"signed":{"expires":"2030-01-01T00:00:00"}}',
        b'{"signed":{"expires":"2030-01-01 00:00:00Z"}}',
        b'{"signed":{"expires":"0001-01-01T00:00:00+05:00"}}',  # before the first moment there is, in UTC
        b'{"signed":{"expires":"9999-12-31T23:59:59-05:00"}}',
        b'{"signed":{},"signatures":{}}',
        b'{"signed":{},"signatures":[{"sig":"not base64"}]}',
        b'{"signed":{},"signatures":[7]}',
        b'{"signed":{}}{}',
        b'{"signed":{"version":1,"version":2}}',
    ],
)
def test_what_is_no_metadata_file_is_refused(data: bytes) -> None:
    with pytest.raises(JSONInvalidError):
        SignedFile.parse(data)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2036-11-20T19:36:37.056308975Z", datetime(2036, 11, 20, 19, 36, 37, 56308, tzinfo=UTC)),
        ("2029-11-22T19:39:56.6643427Z", datetime(2029, 11, 22, 19, 39, 56, 664342, tzinfo=UTC)),
        ("2029-11-22T20:39:56+01:00", datetime(2029, 11, 22, 19, 39, 56, tzinfo=UTC)),
    ],
)
def test_moments_are_read_to_the_microsecond(text: str, moment: datetime) -> None:
    assert file_of(expires=text).expires_at == moment


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: root_of(keys={"a": {"keytype": "ecdsa"}}), "root type metadata invalid: "),
        (lambda: root_of(roles=None), "missing root role specification"),
        (lambda: root_of(roles=P.roles(timestamp=None)), "missing timestamp role specification"),
        (lambda: root_of(version=-1), "version cannot be less than one"),
        (lambda: Targets.parse(file_of(targets={"a": {"length": "1"}}), TARGETS), "targets type metadata invalid"),
        (lambda: Targets.parse(file_of(targets={"a": 1}), RoleName("targets/a")), "targets/a type metadata invalid"),
        (lambda: snapshot_of({"root": b""}, sha256=b"short"), "invalid root checksum information"),
        (lambda: Timestamp.parse(SignedFile.parse(timestamp(meta={}))), "missing snapshot sha256"),
        (lambda: Timestamp.parse(SignedFile.parse(timestamp(_type="timestamp"))), "expected type Timestamp"),
    ],
)
def test_a_file_that_is_not_what_its_role_demands_is_refused(make: Callable[[], object], why: str) -> None:
    with pytest.raises(MetadataInvalidError, match=why):
        make()


def root_of(**changes: Any) -> Root:
    return Root.parse(SignedFile.parse(P.root(**changes)))


def snapshot_of(files: dict[str, bytes], *, sha256: bytes) -> Snapshot:
    meta = {name: {"hashes": {"sha256": b64(sha256)}, "length": 0} for name in files}
    return Snapshot.parse(SignedFile.parse(P.snapshot({}, meta=meta)))


def timestamp(**changes: Any) -> bytes:
    return P.timestamp(b"", **changes)


def test_more_than_the_base_roles_and_keys_that_no_role_names_are_let_be() -> None:
    root = root_of(roles=P.roles(mirrors={"keyids": [], "threshold": 1}))
    assert [name.text for name in root.roles] == ["root", "targets", "snapshot", "timestamp"]


@given(current=st.integers(1, 5), new=st.integers(-1, 7))
def test_a_root_has_the_version_of_the_one_before_or_the_next_and_only_the_next_is_stored(
    current: int, new: int
) -> None:
    holding = stored(root=P.root(version=current), targets=P.targets())
    upload = parse_upload([("root", P.root(version=new))])
    refusal = OldVersionError if new == current else RootInvalidError
    if new != current + 1:
        with pytest.raises(refusal):
            plan_update(GUN, with_targets(upload, 9), holding, server_keys=SERVER, now=NOW)
    else:
        plan = plan_update(GUN, with_targets(upload, 9), holding, server_keys=SERVER, now=NOW)
        assert plan.posted[ROOT].version == new


def with_targets(upload: dict[RoleName, SignedFile], version: int) -> dict[RoleName, SignedFile]:
    return {**upload, TARGETS: SignedFile.parse(P.targets(version=version))}


@given(highest=st.integers(1, 9), new=st.integers(1, 12))
def test_targets_are_stored_only_when_newer_than_all_that_are_stored(highest: int, new: int) -> None:
    holding = StoredFiles(stored(root=P.root()).current, {TARGETS: highest})
    upload = with_targets({}, new)
    if new > highest:
        assert plan_update(GUN, upload, holding, server_keys=SERVER, now=NOW).posted[TARGETS].version == new
    else:
        with pytest.raises(OldVersionError):
            plan_update(GUN, upload, holding, server_keys=SERVER, now=NOW)


def test_a_file_is_good_until_the_very_moment_of_its_expiry() -> None:
    file = file_of(expires="2027-02-03T04:05:06Z")
    at = datetime(2027, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert find_expiry(file, TARGETS, at) is None
    after = at + timedelta(microseconds=1)
    assert find_expiry(file, TARGETS, after) == "targets expired at Wed Feb 3 04:05:06 UTC 2027"


def test_a_file_is_held_against_every_digest_that_is_claimed_of_it() -> None:
    good = FileMeta.of(b"data")
    assert find_mismatch(good, b"data", "root") is None
    assert find_mismatch(FileMeta({"sha256": good.hashes["sha256"]}), b"data", "root") is None
    assert find_mismatch(FileMeta({"md5": b""}), b"data", "root") == "tuf: sha256 checksum required for root"
    assert find_mismatch(None, b"data", "root") == "tuf: sha256 checksum required for root"
    for algorithm in good.hashes:
        claimed = {**good.hashes, algorithm: b"\x01\x02"}
        assert find_mismatch(FileMeta(claimed), b"data", "root") == (
            f"{algorithm} checksum for root did not match: expected 0102"
        )


def holding(*, snapshot: str, timestamp: str, root: str = "2030-01-01T00:00:00Z") -> StoredFiles:
    """A repository of which the parts expire at these moments."""
    root_file, targets = P.root(expires=root), P.targets()
    over = P.snapshot({"root": root_file, "targets": targets}, expires=snapshot)
    return stored(root=root_file, targets=targets, snapshot=over, timestamp=P.timestamp(over, expires=timestamp))


SOON = "2026-11-23T21:00:00Z"


def test_what_is_not_expired_is_not_made_anew() -> None:
    assert plan_renewal(holding(snapshot=SOON, timestamp=SOON), server_keys=SERVER, now=NOW) is None
    assert plan_renewal(stored(root=P.root(expires=LONG_AGO)), server_keys=SERVER, now=NOW) is None


def test_an_expired_timestamp_is_made_anew_over_the_same_snapshot() -> None:
    files = holding(snapshot=SOON, timestamp=LONG_AGO)
    plan = plan_renewal(files, server_keys=SERVER, now=NOW)
    assert plan is not None
    assert plan.snapshot is None
    made = plan.timestamp()
    signature = P.timestamp_key.sign(made.message)
    content = Timestamp.parse(SignedFile.parse(made.complete([signature])))
    assert content.version == made.version == 2
    assert content.snapshot == FileMeta.of(files.current[RoleName("snapshot")])


def test_an_expired_snapshot_is_made_anew_over_the_same_files_and_the_timestamp_with_it() -> None:
    files = holding(snapshot=LONG_AGO, timestamp=SOON)
    plan = plan_renewal(files, server_keys=SERVER, now=NOW)
    assert plan is not None
    assert plan.snapshot is not None
    data = plan.snapshot.complete([P.snapshot_key.sign(plan.snapshot.message)])
    made, before = Snapshot.parse(SignedFile.parse(data)), files.find_snapshot()
    assert before is not None
    assert (made.version, made.meta) == (before.version + 1, before.meta)
    assert SignedFile.parse(data).expires_at == NOW + timedelta(days=3 * 365)
    over = plan.timestamp(data)
    finished = SignedFile.parse(over.complete([P.timestamp_key.sign(over.message)]))
    assert Timestamp.parse(finished).snapshot == FileMeta.of(data)


def test_an_expired_snapshot_whose_key_the_client_holds_is_told_in_the_recorded_words() -> None:
    with pytest.raises(SigningKeysMissingError) as refusal:
        plan_renewal(holding(snapshot=LONG_AGO, timestamp=SOON), server_keys={P.timestamp_key.id}, now=NOW)
    assert refusal.value.status == 500
    detail = {"FoundKeys": 0, "NeededKeys": 1, "MissingKeyIDs": [P.snapshot_key.id]}
    assert refusal.value.body == {"errors": [{"code": "UNKNOWN", "message": "unknown error", "detail": detail}]}


def test_nothing_is_made_anew_under_an_expired_root() -> None:
    with pytest.raises(RenewalError):
        plan_renewal(holding(snapshot=SOON, timestamp=LONG_AGO, root=LONG_AGO), server_keys=SERVER, now=NOW)


def test_the_publisher_of_these_tests_writes_the_signed_form() -> None:
    document = P.root_document()
    assert SignedFile.parse(P.root()).message() == written(document)
