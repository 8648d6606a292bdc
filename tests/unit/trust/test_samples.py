"""What real programs signed verifies, and nothing else does. The samples are in tests/data/notary, with their origin."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.trust import canonical_json
from lading.trust.canonical_json import JSONInvalidError
from lading.trust.delegations import verify_delegated, verify_targets
from lading.trust.keys import PublicKey
from lading.trust.metadata import Root, Snapshot, Targets, Timestamp
from lading.trust.roles import SNAPSHOT, TARGETS, TIMESTAMP, RoleName
from lading.trust.signatures import Signature
from lading.trust.signed_files import SignedFile
from lading.trust.signing import next_snapshot, next_timestamp
from lading.trust.stored import StoredFiles
from lading.trust.update import plan_update
from lading.trust.upload import parse_upload
from lading.trust.verification import find_mismatch, verify_root, verify_threshold
from support.publishing import NOTHING, NOW

SAMPLES = Path(__file__).parents[2] / "data" / "notary"
REPOSITORIES = sorted(path.parent for path in SAMPLES.glob("*/root.json"))
ROOTS = sorted(SAMPLES.rglob("*root.json"))
CHAIN = [SAMPLES / "notary-root-rotation" / f"{version}.root.json" for version in range(1, 8)]


def read(path: Path) -> SignedFile:
    return SignedFile.parse(path.read_bytes())


def files_in(folder: Path) -> dict[RoleName, SignedFile]:
    names = {path: path.stem.replace("__", "/") for path in folder.glob("*.json") if "." not in path.stem}
    return {RoleName.parse(name): read(path) for path, name in names.items() if name != "request"}


def gun_of(root: Root) -> str:
    key = next(iter(root.keys_of(RoleName("root")).values()))
    return key.certificates()[0].subject.rfc4514_string().removeprefix("CN=")


@pytest.mark.parametrize("path", ROOTS, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_every_recorded_root_is_a_good_first_root(path: Path) -> None:
    file = read(path)
    root = Root.parse(file)
    assert verify_root(file, root, before=None, gun=gun_of(root), now=NOW)
    assert not verify_root(file, root, before=None, gun="lab.test/another", now=NOW)


@pytest.mark.parametrize("folder", REPOSITORIES, ids=lambda path: path.name)
def test_every_recorded_file_is_signed_as_its_root_and_parents_say(folder: Path) -> None:
    files = files_in(folder)
    root = Root.parse(files[RoleName("root")])
    assert verify_targets(root, files).keys() == {name for name in files if name.is_targets}
    for name in files.keys() & {SNAPSHOT, TIMESTAMP}:
        assert verify_threshold(files[name], name, root.keys_of(name), 1)


def test_files_posted_on_revoking_a_tag_are_signed_by_the_delegation_of_before() -> None:
    folder = SAMPLES / "docker-signer-delegation"
    parent = Targets.parse(read(folder / "targets.json"), TARGETS)
    for path in (folder / "after-revoke").glob("*.json"):
        delegation = parent.find_delegation(RoleName(path.stem.replace("__", "/")))
        assert delegation is not None
        assert verify_delegated(read(path), delegation, parent)


@pytest.mark.parametrize("folder", REPOSITORIES, ids=lambda path: path.name)
def test_snapshots_and_timestamps_name_the_bytes_of_the_files(folder: Path) -> None:
    files = files_in(folder)
    if TIMESTAMP in files:
        said = Timestamp.parse(files[TIMESTAMP]).snapshot
        assert find_mismatch(said, files[SNAPSHOT].data, "snapshot") is None
        assert said.length == len(files[SNAPSHOT].data)
    if SNAPSHOT in files:
        meta = Snapshot.parse(files[SNAPSHOT]).meta
        for name in files.keys() - {SNAPSHOT, TIMESTAMP}:
            assert find_mismatch(meta[name.text], files[name].data, name.text) is None


def test_every_key_id_in_the_samples_is_the_digest_of_its_key() -> None:
    seen = 0
    for path in SAMPLES.rglob("*.json"):
        signed = json.loads(path.read_bytes()).get("signed", {})
        keys = {**signed.get("keys", {}), **(signed.get("delegations") or {}).get("keys", {})}
        for keyid, key in keys.items():
            assert PublicKey(key["keytype"], base64.b64decode(key["keyval"]["public"])).id == keyid
            seen += 1
    assert seen > 50


def test_the_recorded_signed_parts_are_canonical_once_the_wire_escapes_are_undone() -> None:
    for path in SAMPLES.rglob("*.json"):
        data = path.read_bytes()
        if b'"signatures"' in data:
            wire = data.removeprefix(b'{"signed":').partition(b',"signatures":[')[0]
            plain = wire.replace(rb"\u003c", b"<").replace(rb"\u003e", b">").replace(rb"\u0026", b"&")
            assert read(path).message() == plain


def test_the_root_chain_passes_from_each_to_the_next() -> None:
    files = [read(path) for path in CHAIN]
    roots = [Root.parse(file) for file in files]
    gun = gun_of(roots[0])
    for file, root, before in zip(files[1:], roots[1:], roots, strict=False):
        assert root.version == before.version + 1
        assert verify_root(file, root, before=before, gun=gun, now=NOW)


def test_the_rotated_root_without_its_old_signature_is_refused() -> None:
    document = json.loads(CHAIN[6].read_bytes())
    before, gun = Root.parse(read(CHAIN[5])), gun_of(Root.parse(read(CHAIN[5])))
    old = set(before.roles[RoleName("root")].keyids)
    document["signatures"] = [item for item in document["signatures"] if item["keyid"] not in old]
    file = SignedFile.parse(json.dumps(document).encode())
    verdict = verify_root(file, Root.parse(file), before=before, gun=gun, now=NOW)
    assert "failed to validate data with current trusted certificates" in getattr(verdict, "reason", "")


def test_the_recorded_first_push_is_accepted_and_answered_with_the_recorded_files() -> None:
    folder = SAMPLES / "docker-first-push"
    files = files_in(folder)
    root = Root.parse(files[RoleName("root")])
    keyids = {*root.roles[SNAPSHOT].keyids, *root.roles[TIMESTAMP].keyids}
    upload = parse_upload([(f"{name}", files[RoleName(name)].data) for name in ("targets", "root")])
    now = datetime(2026, 11, 23, 19, 36, 37, 66948, tzinfo=UTC)
    plan = plan_update("127.0.0.1:6444/alice/app", upload, NOTHING, server_keys=keyids, now=now)
    assert [name.text for name in plan.posted] == ["root", "targets"]
    assert plan.snapshot is not None
    made = json.loads(plan.snapshot.message)
    recorded = json.loads(files[SNAPSHOT].data)["signed"]
    assert made == {**recorded, "expires": "2029-11-22T19:36:37.066948Z"}
    timestamp = json.loads(plan.timestamp(files[SNAPSHOT].data).message)
    assert timestamp == {**json.loads(files[TIMESTAMP].data)["signed"], "expires": "2026-12-07T19:36:37.066948Z"}


@pytest.mark.parametrize("name", ["snapshot", "timestamp"])
def test_a_file_completed_with_the_recorded_signature_has_the_recorded_form(name: str) -> None:
    recorded = read(SAMPLES / "docker-first-push" / f"{name}.json")
    keyids = tuple(item.keyid for item in recorded.signatures)
    now = datetime(2026, 11, 23, 19, 36, 37, 67000, tzinfo=UTC)
    unsigned = (
        next_snapshot(None, {}, keyids=keyids, now=now)
        if name == "snapshot"
        else next_timestamp(None, b"", keyids=keyids, now=now)
    )
    made = unsigned.complete(recorded.signatures)
    assert made.partition(b',"signatures":')[2] == recorded.data.partition(b',"signatures":')[2]
    assert SignedFile.parse(made).message() == unsigned.message


def test_signatures_by_others_are_not_put_under_a_file() -> None:
    unsigned = next_timestamp(None, b"", keyids=("a",), now=NOW)
    with pytest.raises(RuntimeError):
        unsigned.complete([Signature("b", "ecdsa", b"")])


def test_a_delegation_without_keys_is_read_and_lets_nobody_sign() -> None:
    content = Targets.parse(read(SAMPLES / "docker-signer-removed" / "targets.json"), TARGETS)
    delegation = content.find_delegation(RoleName("targets/releases"))
    assert delegation is not None
    assert delegation.role.keyids == ()
    other = read(SAMPLES / "docker-signer-delegation" / "targets__releases.json")
    assert not verify_delegated(other, delegation, content)


def test_canonical_ids_are_those_of_the_bare_keys() -> None:
    root = Root.parse(read(SAMPLES / "docker-first-push" / "root.json"))
    key = root.keys_of(RoleName("root"))[root.roles[RoleName("root")].keyids[0]]
    bare = key.certificates()[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.canonical_id == PublicKey("ecdsa", bare).id != key.id
    assert PublicKey("ecdsa", bare).canonical_id == PublicKey("ecdsa", bare).id


@pytest.mark.parametrize(
    "sample",
    ["docker-first-push/targets.json", "docker-first-push/snapshot.json", "notary-rsa-delegation/targets__dave.json"],
)
@settings(deadline=None)
@given(data=st.data())
def test_a_file_with_a_byte_changed_verifies_no_more(sample: str, data: st.DataObject) -> None:
    path = SAMPLES / sample
    original = read(path)
    files = files_in(path.parent)
    root = Root.parse(files[RoleName("root")])
    name = RoleName(path.stem.replace("__", "/"))
    if name.is_delegation:
        parent = Targets.parse(files[TARGETS], TARGETS)
        delegation = parent.find_delegation(name)
        assert delegation is not None
        keys = parent.keys_of(delegation)
    else:
        keys = root.keys_of(name)
    end = original.data.index(b',"signatures"')
    place = data.draw(st.integers(len(b'{"signed":'), end - 1))
    changed = bytearray(original.data)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        file = SignedFile.parse(bytes(changed))
    except JSONInvalidError:
        return
    if file.signed == original.signed:  # white space, or another spelling of the same
        return
    assert not verify_threshold(file, name, keys, 1)


def test_stored_files_that_cannot_be_read_are_no_fault_of_the_client() -> None:
    with pytest.raises(RuntimeError):
        plan_update("a/b", {}, StoredFiles({RoleName("root"): b"{"}, {}), server_keys=(), now=NOW)


def test_canonical_json_of_the_specials_is_unescaped_but_for_quote_and_backslash() -> None:
    assert canonical_json.encode({"b": 'a<b>&é"\\x', "a": [1, True, None]}) == (
        '{"a":[1,true,null],"b":"a<b>&é\\"\\\\x"}'.encode()
    )
