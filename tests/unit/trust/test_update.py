"""Updates: the recorded answers of the stock server, case by case, and what each rule lets through."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.trust.errors import (
    OldVersionError,
    SnapshotMissingError,
    TargetsInvalidError,
    TrustError,
    UpdateInvalidError,
)
from lading.trust.metadata import Snapshot
from lading.trust.roles import ROOT, SNAPSHOT, TIMESTAMP, RoleName
from lading.trust.signatures import Signature
from lading.trust.signed_files import SignedFile
from lading.trust.stored import StoredFiles
from lading.trust.update import UpdatePlan, plan_update
from lading.trust.upload import parse_upload, roles_needed
from support.publishing import (
    GUN,
    LONG_AGO,
    NOTHING,
    NOW,
    Publisher,
    SigningKey,
    an_rsa,
    certified,
    delegation,
    delegations,
    key_map,
    new_ecdsa,
    new_ed25519,
    role,
    signed,
    stored,
    targets_document,
    with_signatures,
    written,
)

RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "data" / "notary" / "error-responses.jsonl").read_text().splitlines()
]
OF_THE_DOOR = {"no multipart", "no boundary", "truncated multipart", "POST bad prefix"}
"""Recorded refusals that come before there are files to judge."""

RECORDED_SHA512 = (
    "d8316cf8793428ddd9a5229fefff3ad1238fdb474988fefadc1b8340dc1a53f5"
    "164fdcfd6999b261ec607a5b6caafad29fdc989fd30e70b43cadbfe55d81aeb5"
)


@dataclass(frozen=True)
class Scene:
    """An update, and where it arrives. The server holds the keys in `server`, by default snapshot's and timestamp's."""

    parts: list[tuple[str, bytes]]
    stored: StoredFiles = NOTHING
    server: tuple[SigningKey, ...] | None = None

    def plan(self, publisher: Publisher) -> UpdatePlan:
        server = (publisher.snapshot_key, publisher.timestamp_key) if self.server is None else self.server
        return plan_update(GUN, parse_upload(self.parts), self.stored, server_keys={key.id for key in server}, now=NOW)


P = Publisher()
OTHER = new_ecdsa()


def first(**parts: bytes) -> Scene:
    """A first push, of good files but for `parts`."""
    files = {"root": P.root(), "targets": P.targets(), **parts}
    return Scene([(name.replace("__", "/"), data) for name, data in files.items()])


def with_root(**changes: Any) -> Scene:
    return first(root=P.root(**changes))


def with_root_key(key: SigningKey) -> Scene:
    other = replace(P, root_key=key)
    return first(root=other.root())


def with_targets(**changes: Any) -> Scene:
    return first(targets=P.targets(**changes))


def with_delegation(name: str, file: bytes, *roles: dict[str, Any]) -> Scene:
    scene = with_targets(delegations=delegations((OTHER,), *roles))
    return replace(scene, parts=[*scene.parts, (name, file)])


def client_snapshot(snapshot: Callable[[dict[str, bytes]], bytes] | None) -> Scene:
    """A first push by a client that holds the snapshot key."""
    files = {"root": P.root(), "targets": P.targets()}
    parts = list(files.items()) if snapshot is None else [*files.items(), ("snapshot", snapshot(files))]
    return Scene(parts, server=(P.timestamp_key,))


def again(*parts: tuple[str, bytes]) -> Scene:
    """A push to a repository with root 1 and targets 6."""
    root, targets = P.root(), P.targets(version=6)
    snapshot = P.snapshot({"root": root, "targets": targets})
    holding = stored(root=root, targets=targets, snapshot=snapshot, timestamp=P.timestamp(snapshot))
    return Scene(list(parts), holding)


def claims_wrong_hash(files: dict[str, bytes]) -> bytes:
    document = json.loads(P.snapshot(files))["signed"]
    document["meta"]["targets"]["hashes"]["sha512"] = b64(RECORDED_SHA512)
    return signed(document, P.snapshot_key)


def b64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


def badly(data: bytes) -> bytes:
    """The file with its first signature broken."""
    file = SignedFile.parse(data)
    good = file.signatures[0]
    return with_signatures(written(file.signed), replace(good, sig=bytes([good.sig[0] ^ 1]) + good.sig[1:]))


def rotated(*, old: bool, new: bool) -> bytes:
    key = certified(new_ecdsa())
    document = replace(P, root_key=key).root_document(version=2)
    return signed(document, *([P.root_key] if old else []), *([key] if new else []))


def method(data: bytes, word: str) -> bytes:
    file = SignedFile.parse(data)
    return with_signatures(written(file.signed), *[replace(item, method=word) for item in file.signatures])


TOO_BIG = {"t": {"hashes": {}, "length": 2**53 + 1}}
CHILD = signed(targets_document(), OTHER)

SCENES: dict[str, Callable[[], Scene]] = {
    "empty multipart, no root on server": lambda: Scene([]),
    "filename empty": lambda: Scene([("", P.root())]),
    "bad role name foo": lambda: Scene([("foo", P.root())]),
    "bad role Root": lambda: Scene([("Root", P.root())]),
    "role targets/UPPER": lambda: Scene([("targets/UPPER", P.targets())]),
    "role targets/a/b sep": lambda: Scene([("targets/a/b", P.targets())]),
    "bad json": lambda: Scene([("root", b"{")]),
    "json wrong type": lambda: Scene([("root", b'{"signed":{"version":"one"},"signatures":[]}')]),
    "targets without root": lambda: Scene([("targets", P.targets())]),
    "root only (no targets) first push": lambda: Scene([("root", P.root())]),
    "root bad sig": lambda: first(root=badly(P.root())),
    "root no signatures": lambda: first(root=with_signatures(written(P.root_document()))),
    "root v3 on empty": lambda: with_root(version=3),
    "root v0 on empty": lambda: with_root(version=0),
    "root wrong _type": lambda: with_root(_type="Targets"),
    "root lower _type root": lambda: with_root(_type="root"),
    "root expired": lambda: with_root(expires=LONG_AGO),
    "root missing snapshot role": lambda: with_root(
        roles={name: item for name, item in P.roles().items() if name != "snapshot"}
    ),
    "root threshold 0": lambda: with_root(roles=P.roles(targets=role(P.targets_key, threshold=0))),
    "root role unknown keyid": lambda: with_root(roles=P.roles(targets={"keyids": ["f" * 64], "threshold": 1})),
    "root threshold 2 w 1 key": lambda: with_root(roles=P.roles(root=role(P.root_key, threshold=2))),
    "root cert CN mismatch": lambda: with_root_key(certified(new_ecdsa(), "lab.test/another")),
    "root cert expired": lambda: with_root_key(certified(new_ecdsa(), start=NOW - timedelta(days=30), days=29)),
    "root key plain ecdsa (no cert)": lambda: with_root_key(new_ecdsa()),
    "root rsa 1024": lambda: with_root_key(certified(an_rsa(1024))),
    "timestamp key not the server's": lambda: replace(first(), server=(P.snapshot_key,)),
    "client snapshot key but no snapshot sent": lambda: client_snapshot(None),
    "snapshot bad sig": lambda: client_snapshot(lambda files: badly(P.snapshot(files))),
    "snapshot hash mismatch": lambda: client_snapshot(claims_wrong_hash),
    "snapshot missing targets meta": lambda: client_snapshot(lambda files: P.snapshot({"root": files["root"]})),
    "snapshot expired": lambda: client_snapshot(lambda files: P.snapshot(files, expires=LONG_AGO)),
    "snapshot signed by wrong key": lambda: client_snapshot(lambda files: P.snapshot(files, by=OTHER)),
    "targets bad sig": lambda: first(targets=badly(P.targets())),
    "targets unknown signer": lambda: with_targets(by=OTHER),
    "targets expired": lambda: with_targets(expires=LONG_AGO),
    "targets v0": lambda: first(targets=signed(targets_document(version=0), P.targets_key)),
    "targets wrong type": lambda: with_targets(_type="Root"),
    "targets unknown method": lambda: first(targets=method(P.targets(), "rot13")),
    "same targets version again": lambda: again(("targets", signed(targets_document(version=6), P.targets_key))),
    "targets v5 (lower than cur)": lambda: again(("targets", signed(targets_document(version=5), P.targets_key))),
    "same targets version": lambda: again(("targets", signed(targets_document(version=6), P.targets_key))),
    "same root v1 again identical": lambda: again(("root", P.root())),
    "root v3 skip": lambda: again(("root", P.root(version=3))),
    "root rotate signed only by new": lambda: again(("root", rotated(old=False, new=True))),
    "root rotate signed only by old": lambda: again(("root", rotated(old=True, new=False))),
    "snapshot from client while server holds key": lambda: first(
        snapshot=P.snapshot({"root": P.root(), "targets": P.targets()}, by=OTHER)
    ),
    "delegation file not delegated": lambda: with_delegation("targets/a", CHILD),
    "delegation bad signer": lambda: with_delegation(
        "targets/a", signed(targets_document(), P.targets_key), delegation("targets/a", OTHER)
    ),
    "nested parent missing": lambda: with_delegation("targets/a/b/c", CHILD, delegation("targets/a", OTHER)),
    "bad delegation name in targets": lambda: with_targets(
        delegations=delegations((OTHER,), delegation("targets/a/b", OTHER))
    ),
    "float in signed": lambda: with_targets(extra=1.5),
    "length 2^53+1": lambda: with_targets(targets=TOO_BIG),
    "push after snapshot expiry: targets only": lambda: replace(
        again(("targets", P.targets(version=7))), server=(P.timestamp_key,)
    ),
    "deleg threshold 0": lambda: with_targets(
        delegations=delegations((OTHER,), delegation("targets/a", OTHER, threshold=0))
    ),
    "targets key id wrong in root": lambda: with_root(version=0),
}


@pytest.mark.parametrize("case", SCENES)
def test_an_update_is_refused_in_the_recorded_words(case: str) -> None:
    recorded = next(line for line in RECORDED if line["case"] == case)
    with pytest.raises(TrustError) as refusal:
        SCENES[case]().plan(P)
    assert (refusal.value.status, refusal.value.body) == (recorded["status"], recorded["body"])


def test_every_recorded_refusal_of_an_update_has_its_scene() -> None:
    verbs = ("GET ", "POST /", "PUT ", "DELETE ")
    assert {line["case"] for line in RECORDED if not line["case"].startswith(verbs)} - OF_THE_DOOR == SCENES.keys()


def test_a_first_push_is_stored_with_a_snapshot_and_a_timestamp_of_version_one() -> None:
    plan = first().plan(P)
    assert [name.text for name in plan.posted] == ["root", "targets"]
    assert plan.snapshot is not None
    assert (plan.snapshot.version, plan.snapshot.keyids) == (1, (P.snapshot_key.id,))
    snapshot = plan.snapshot.complete([P.snapshot_key.sign(plan.snapshot.message)])
    timestamp = plan.timestamp(snapshot)
    assert (timestamp.version, timestamp.keyids) == (1, (P.timestamp_key.id,))


def test_a_first_root_may_have_version_two() -> None:
    assert with_root(version=2).plan(P).posted[ROOT].version == 2


def test_an_empty_update_makes_a_new_snapshot_and_timestamp() -> None:
    plan = again().plan(P)
    assert not plan.posted
    assert plan.snapshot is not None
    assert (plan.snapshot.version, plan.timestamp(b"").version) == (3, 2)


def test_versions_of_targets_may_leave_gaps() -> None:
    assert again(("targets", P.targets(version=100))).plan(P).posted[RoleName("targets")].version == 100


def test_targets_are_taken_under_an_expired_root() -> None:
    root = P.root(expires=LONG_AGO)
    assert Scene([("targets", P.targets())], stored(root=root)).plan(P).posted


def test_a_delegation_is_taken_under_expired_stored_targets() -> None:
    targets = P.targets(expires=LONG_AGO, delegations=delegations((OTHER,), delegation("targets/a", OTHER)))
    plan = Scene([("targets/a", CHILD)], stored(root=P.root(), targets=targets)).plan(P)
    assert [name.text for name in plan.posted] == ["targets/a"]


def test_an_expired_delegation_is_refused() -> None:
    child = signed(targets_document(expires=LONG_AGO), OTHER)
    with pytest.raises(TargetsInvalidError) as refusal:
        with_delegation("targets/a", child, delegation("targets/a", OTHER)).plan(P)
    assert reason(refusal.value) == "targets/a expired at Wed Jan 1 00:00:00 UTC 2020"


def reason(error: UpdateInvalidError) -> str:
    text = error.body["errors"][0]["detail"]["Error"]["Msg"]
    assert isinstance(text, str)
    return text


def test_stored_targets_that_a_new_root_disowns_vouch_for_no_delegation() -> None:
    targets = P.targets(delegations=delegations((OTHER,), delegation("targets/a", OTHER)))
    root = replace(P, targets_key=new_ecdsa()).root(version=2)
    with pytest.raises(TargetsInvalidError) as refusal:
        Scene([("root", root), ("targets/a", CHILD)], stored(root=P.root(), targets=targets)).plan(P)
    assert reason(refusal.value) == "valid signatures did not meet threshold for targets"


def test_delegations_are_looked_at_from_the_top_whatever_the_order_of_the_parts() -> None:
    middle = signed(targets_document(delegations=delegations((OTHER,), delegation("targets/a/b", OTHER))), OTHER)
    scene = with_delegation("targets/a/b", CHILD, delegation("targets/a", OTHER))
    plan = replace(scene, parts=[scene.parts[-1], ("targets/a", middle), *scene.parts[:-1]]).plan(P)
    assert [name.text for name in plan.posted] == ["root", "targets", "targets/a", "targets/a/b"]


def test_a_delegation_is_held_against_its_own_mention_and_not_its_neighbours() -> None:
    second = new_ed25519()
    both = delegations((OTHER, second), delegation("targets/a", OTHER), delegation("targets/b", second))
    scene = first(targets=P.targets(delegations=both))
    file = signed(targets_document(), second)
    assert replace(scene, parts=[*scene.parts, ("targets/b", file)]).plan(P).posted[RoleName("targets/b")].data == file
    for name, why in (("targets/b", "valid signatures did not"), ("targets/c", "tuf: invalid role targets/c.")):
        with pytest.raises(TargetsInvalidError) as refusal:
            replace(scene, parts=[*scene.parts, (name, CHILD)]).plan(P)
        assert reason(refusal.value).startswith(why)


def test_a_delegation_signed_by_too_few_of_its_keys_is_refused_and_by_enough_is_taken() -> None:
    second = new_ed25519()
    targets = P.targets(delegations=delegations((OTHER, second), delegation("targets/a", OTHER, second, threshold=2)))
    scene = first(targets=targets)
    document = targets_document()
    twice = with_signatures(written(document), OTHER.sign(written(document)), OTHER.sign(written(document)))
    with pytest.raises(TargetsInvalidError):
        replace(scene, parts=[*scene.parts, ("targets/a", twice)]).plan(P)
    assert replace(scene, parts=[*scene.parts, ("targets/a", signed(document, OTHER, second))]).plan(P).posted


def test_a_delegation_certificate_may_be_expired_but_not_weak() -> None:
    old = certified(new_ecdsa(), "bob", start=NOW - timedelta(days=30), days=1)
    weak = certified(an_rsa(1024), "bob")
    for key, taken in ((old, True), (weak, False)):
        targets = P.targets(delegations=delegations((key,), delegation("targets/a", key)))
        scene = first(targets=targets, targets__a=signed(targets_document(), key))
        if taken:
            assert scene.plan(P).posted
        else:
            with pytest.raises(TargetsInvalidError, match="invalid") as refusal:
                scene.plan(P)
            assert "1024 bits" in reason(refusal.value)


def test_targets_that_nobody_signed_are_refused() -> None:
    with pytest.raises(TargetsInvalidError) as refusal:
        first(targets=with_signatures(written(targets_document(version=2)))).plan(P)
    assert reason(refusal.value) == "data has no signatures"


def test_a_key_that_is_not_what_its_id_says_is_refused_once_it_signs() -> None:
    keys = {**P.root_document()["keys"], P.targets_key.id: OTHER.public.as_json()}
    document = targets_document(version=2)
    forged = with_signatures(written(document), replace(OTHER.sign(written(document)), keyid=P.targets_key.id))
    with pytest.raises(TargetsInvalidError) as refusal:
        first(root=P.root(keys=keys), targets=forged).plan(P)
    assert reason(refusal.value) == "key ID is not valid for key content"


def test_a_rotation_needs_both_roots_and_an_expired_certificate_of_the_old_one_still_counts() -> None:
    old = certified(new_ecdsa(), start=NOW - timedelta(days=30), days=29)
    aged = replace(P, root_key=old)
    holding = stored(root=aged.root(), targets=P.targets())
    key = certified(new_ecdsa())
    document = replace(P, root_key=key).root_document(version=2)
    document["keys"].update(key_map(old))
    root = signed(document, old, key)
    assert Scene([("root", root), ("targets", P.targets(version=3))], holding).plan(P).posted[ROOT].data == root


def test_a_client_snapshot_has_to_name_every_file_that_was_looked_at() -> None:
    targets = P.targets(delegations=delegations((OTHER,), delegation("targets/a", OTHER)))
    files = {"root": P.root(), "targets": targets, "targets/a": CHILD}
    parts = list(files.items())
    good = Scene([*parts, ("snapshot", P.snapshot(files))], server=(P.timestamp_key,))
    plan = good.plan(P)
    assert plan.snapshot is None
    assert [name.text for name in plan.posted] == ["root", "targets", "targets/a", "snapshot"]
    files.pop("targets/a")
    with pytest.raises(UpdateInvalidError) as refusal:
        replace(good, parts=[*parts, ("snapshot", P.snapshot(files))]).plan(P)
    assert reason(refusal.value) == "tuf: sha256 checksum required for targets/a"


def test_a_snapshot_made_here_keeps_what_was_not_looked_at() -> None:
    scene = again(("targets", P.targets(version=7)))
    before = P.snapshot({"root": P.root(), "targets": P.targets(version=6), "targets/gone": b"x"}, version=9)
    current = {**scene.stored.current, SNAPSHOT: before}
    plan = replace(scene, stored=StoredFiles(current, scene.stored.versions)).plan(P)
    assert plan.snapshot is not None
    file = SignedFile.parse(plan.snapshot.complete([P.snapshot_key.sign(plan.snapshot.message)]))
    made = Snapshot.parse(file)
    assert made.version == 10
    assert made.meta["targets/gone"] == Snapshot.parse(SignedFile.parse(before)).meta["targets/gone"]
    assert made.meta["targets"].length == len(P.targets(version=7))


def test_the_server_signs_with_all_its_keys_of_a_role_and_needs_enough_for_the_threshold() -> None:
    second = new_ed25519()
    document = P.root_document(roles=P.roles(snapshot=role(P.snapshot_key, second, threshold=2)))
    document["keys"].update(key_map(second))
    scene = first(root=signed(document, P.root_key))
    plan = replace(scene, server=(P.snapshot_key, second, P.timestamp_key)).plan(P)
    assert plan.snapshot is not None
    assert plan.snapshot.keyids == (P.snapshot_key.id, second.id)
    with pytest.raises(SnapshotMissingError):
        scene.plan(P)


def test_a_snapshot_or_timestamp_that_would_not_be_newer_is_refused() -> None:
    scene = again(("targets", P.targets(version=7)))
    for name, version in ((SNAPSHOT, 3), (TIMESTAMP, 2)):
        late = StoredFiles(scene.stored.current, {**scene.stored.versions, name: version})
        with pytest.raises(OldVersionError):
            replace(scene, stored=late).plan(P)


def test_of_two_parts_for_a_role_the_last_counts_and_a_timestamp_is_passed_over() -> None:
    parts = [("targets", b'{"signed":{}}'), ("targets.json", P.targets()), ("timestamp", b'{"signed":{}}')]
    upload = parse_upload(parts)
    assert {name.text: file.data for name, file in upload.items()} == {"targets": parts[1][1]}


def test_an_update_is_judged_by_root_snapshot_timestamp_and_ancestors() -> None:
    needed = roles_needed([RoleName("targets/a/b"), RoleName("root")])
    assert {name.text for name in needed} == {"root", "snapshot", "timestamp", "targets", "targets/a"}


def test_an_answer_repeats_no_more_of_a_strangers_text_than_a_client_reads() -> None:
    long = "\x01" * 5000
    bad = delegations((OTHER,), {**delegation("targets/a", OTHER), "name": long})
    unknown = P.roles(targets={"keyids": [long], "threshold": 1})
    for scene in (with_root(_type=long), with_root(roles=unknown), with_targets(delegations=bad), Scene([(long, b"")])):
        with pytest.raises(TrustError) as refusal:
            scene.plan(P)
        assert len(json.dumps(refusal.value.body)) < 1024


@pytest.mark.parametrize("name", ["rsapss", "rsapkcs1v15", "RSAPSS"])
def test_targets_may_be_signed_with_rsa(name: str) -> None:
    key = an_rsa()
    publisher = replace(P, targets_key=key)
    message = written(targets_document(version=2))
    signature: Signature = key.sign(message, name)
    scene = Scene([("root", publisher.root()), ("targets", with_signatures(message, signature))])
    assert scene.plan(P).posted


ODD = st.sampled_from(
    [None, True, 0, -1, 2, 1.5, 2**63 - 1, "", "x", "\ud7ff", [], {}, [None], {"": None}, {"root": None}, "targets/a"]
)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to everything in a document, itself not counted."""
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [way for key, item in inner for way in ((*above, key), *places(item, (*above, key)))]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["root", "targets", "snapshot", "targets/a"]), st.data())
def test_a_document_with_anything_in_any_place_is_taken_or_refused_and_nothing_else(
    name: str, data: st.DataObject
) -> None:
    documents = {
        "root": P.root_document(),
        "targets": targets_document(delegations=delegations((OTHER,), delegation("targets/a", OTHER))),
        "targets/a": targets_document(targets={"t": {"hashes": {"sha256": ""}, "length": 1, "custom": {"a": 1}}}),
        "snapshot": json.loads(P.snapshot({"root": P.root(), "targets": b""}))["signed"],
    }
    signers = {"root": P.root_key, "targets": P.targets_key, "targets/a": OTHER, "snapshot": P.snapshot_key}
    way = data.draw(st.sampled_from(places(documents[name])))
    spot = documents[name]
    for step in way[:-1]:
        spot = spot[step]
    spot[way[-1]] = data.draw(ODD)
    parts = [(role_name, signed(document, signers[role_name])) for role_name, document in documents.items()]
    kept = parts if name == "snapshot" else parts[:-1]
    try:
        plan = Scene(kept).plan(P)
    except TrustError as refusal:
        assert refusal.status == 400
        assert len(json.dumps(refusal.body)) < 1024
    else:
        assert plan.posted
