"""Delegations of any depth, against a slow reading of the rules."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.trust.delegations import verify_targets
from lading.trust.errors import RoleInvalidError, TargetsInvalidError
from lading.trust.metadata import Root
from lading.trust.roles import TARGETS, RoleName
from lading.trust.signed_files import SignedFile
from lading.trust.update import plan_update
from lading.trust.upload import parse_upload
from support.publishing import (
    GUN,
    NOTHING,
    NOW,
    Publisher,
    an_rsa,
    certified,
    delegation,
    delegations,
    new_ecdsa,
    new_ed25519,
    signed,
    targets_document,
)

POOL = (new_ecdsa(), new_ed25519(), new_ecdsa())
PUBLISHER = replace(Publisher(), targets_key=POOL[0])
PATHS = ("", "a", "ab", "b", "ba")
TARGET_NAMES = ("", "a", "ab", "abc", "b", "bab", "c")
NAMES = ("targets", "targets/a", "targets/b", "targets/a/a", "targets/a/b", "targets/b/a", "targets/a/a/a")


@dataclass(frozen=True)
class Child:
    """A delegation, keys by their place in the pool."""

    name: str
    keys: frozenset[int]
    threshold: int
    paths: tuple[str, ...]


@dataclass(frozen=True)
class File:
    """A targets file, by whom it is signed and to whom it delegates."""

    signers: frozenset[int]
    children: tuple[Child, ...]


Tree = Mapping[str, File]
ALL = frozenset(range(len(POOL)))
PLACES = st.just(ALL) | st.frozensets(st.integers(0, len(POOL) - 1))  # often all, so that deep files count too


def children(parent: str) -> st.SearchStrategy[Child]:
    return st.builds(
        Child,
        name=st.sampled_from([f"{parent}/a", f"{parent}/b"]),
        keys=PLACES,
        threshold=st.sampled_from([1, 1, 2]),
        paths=st.lists(st.sampled_from(PATHS), max_size=3).map(tuple),
    )


def files(name: str) -> st.SearchStrategy[File]:
    signers = PLACES if "/" in name else st.frozensets(st.sampled_from([0, 0, 0, 1]), min_size=1)
    return st.builds(File, signers=signers, children=st.lists(children(name), min_size=1, max_size=3).map(tuple))


TREES = st.fixed_dictionaries({"targets": files("targets")}, optional={name: files(name) for name in NAMES[1:]})


# The slow reading: every question is asked anew, from the leaf to the root.


def counts(tree: Tree, name: str) -> bool:
    if name not in tree:
        return False
    if name == "targets":
        return 0 in tree[name].signers
    child = mention(tree, name)
    return (
        child is not None and counts(tree, parent_of(name)) and len(child.keys & tree[name].signers) >= child.threshold
    )


def mention(tree: Tree, name: str) -> Child | None:
    parent = tree.get(parent_of(name))
    return next((item for item in parent.children if item.name == name), None) if parent else None


def parent_of(name: str) -> str:
    return name.rpartition("/")[0]


def may_say(tree: Tree, name: str, path: str) -> bool:
    if name == "targets":
        return path == ""
    child = mention(tree, name)
    above = [item for item in ("", *PATHS) if path.startswith(item) and may_say(tree, parent_of(name), item)]
    return child is not None and path in child.paths and bool(above)


def reaches(tree: Tree, name: str, target: str) -> bool:
    return any(target.startswith(path) and may_say(tree, name, path) for path in PATHS)


def written_tree(tree: Tree) -> dict[str, bytes]:
    return {name: written_file(file) for name, file in tree.items()}


def written_file(file: File) -> bytes:
    roles: list[dict[str, Any]] = [
        delegation(item.name, *(POOL[key] for key in sorted(item.keys)), paths=item.paths, threshold=item.threshold)
        for item in file.children
    ]
    targets = {name: {"hashes": {}, "length": 1} for name in TARGET_NAMES}
    document = targets_document(delegations=delegations(POOL, *roles), targets=targets)
    return signed(document, *(POOL[key] for key in sorted(file.signers)))


@settings(deadline=None)
@given(TREES)
def test_the_files_that_count_are_those_of_the_slow_reading(tree: Tree) -> None:
    files = {RoleName.parse(name): SignedFile.parse(data) for name, data in written_tree(tree).items()}
    found = verify_targets(Root.parse(SignedFile.parse(PUBLISHER.root())), files)
    assert {name.text for name in found} == {name for name in tree if counts(tree, name)}
    for name, vouched in found.items():
        said = {target for target in TARGET_NAMES if vouched.find(target) is not None}
        assert said == {target for target in TARGET_NAMES if reaches(tree, name.text, target)}
        child = mention(tree, name.text)
        signers = {0} if child is None else child.keys
        assert vouched.keyids == {POOL[key].id for key in signers & tree[name.text].signers}


@settings(deadline=None)
@given(TREES, st.randoms())
def test_an_update_is_taken_when_all_its_files_count(tree: Tree, random: Any) -> None:
    parts = [("root", PUBLISHER.root()), *written_tree(tree).items()]
    random.shuffle(parts)
    server = {PUBLISHER.snapshot_key.id, PUBLISHER.timestamp_key.id}
    upload = parse_upload(parts)
    if all(counts(tree, name) for name in tree):
        assert plan_update(GUN, upload, NOTHING, server_keys=server, now=NOW).posted.keys() == upload.keys()
    else:
        with pytest.raises(TargetsInvalidError):
            plan_update(GUN, upload, NOTHING, server_keys=server, now=NOW)


def test_parents_stand_before_their_children_and_children_in_the_written_order() -> None:
    key = POOL[1]
    both = delegations((key,), delegation("targets/b", key), delegation("targets/a", key))
    deeper = delegations((key,), delegation("targets/b/z", key))
    files = {
        "targets": PUBLISHER.targets(delegations=both),
        "targets/a": signed(targets_document(), key),
        "targets/b": signed(targets_document(delegations=deeper), key),
        "targets/b/z": signed(targets_document(), key),
    }
    read = {RoleName(name): SignedFile.parse(data) for name, data in files.items()}
    found = verify_targets(Root.parse(SignedFile.parse(PUBLISHER.root())), read)
    assert [name.text for name in found] == ["targets", "targets/b", "targets/b/z", "targets/a"]


def test_a_delegation_says_no_more_than_its_parent_may() -> None:
    key = POOL[1]
    inner = delegations((key,), delegation("targets/a/b", key, paths=("ab", "", "b")))
    named = {name: {"hashes": {}, "length": 1} for name in TARGET_NAMES}
    files = {
        "targets": PUBLISHER.targets(delegations=delegations((key,), delegation("targets/a", key, paths=("a",)))),
        "targets/a": signed(targets_document(delegations=inner, targets=named), key),
        "targets/a/b": signed(targets_document(targets=named), key),
    }
    read = {RoleName(name): SignedFile.parse(data) for name, data in files.items()}
    found = verify_targets(Root.parse(SignedFile.parse(PUBLISHER.root())), read)
    said = {
        name: [target for target in TARGET_NAMES if found[RoleName(name)].find(target) is not None] for name in files
    }
    assert said == {"targets": [], "targets/a": ["a", "ab", "abc"], "targets/a/b": ["ab", "abc"]}


def test_a_delegation_with_a_weak_certificate_or_a_broken_file_does_not_count() -> None:
    weak, good = certified(an_rsa(1024), "bob"), POOL[1]
    roles = (delegation("targets/bob", weak, good), delegation("targets/eve", good))
    files = {
        "targets": PUBLISHER.targets(delegations=delegations((weak, good), *roles)),
        "targets/bob": signed(targets_document(), good),
        "targets/eve": signed(targets_document(_type="Root"), good),
    }
    read = {RoleName(name): SignedFile.parse(data) for name, data in files.items()}
    found = verify_targets(Root.parse(SignedFile.parse(PUBLISHER.root())), read)
    assert [name.text for name in found] == ["targets"]


def test_without_a_targets_file_nothing_counts() -> None:
    assert verify_targets(Root.parse(SignedFile.parse(PUBLISHER.root())), {}) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "foo",
        "Root",
        "root/a",
        "targets/",
        "targets//a",
        "targets/a/",
        "/targets/a",
        "targets/A",
        "targets/.",
        "targets/..",
        "targets/a b",
        "targets/é",
        "targets/a\n",
        "targets/" + "a" * 248,
    ],
)
def test_what_is_no_role_name_is_refused(text: str) -> None:
    with pytest.raises(RoleInvalidError):
        RoleName.parse(text)


@given(st.from_regex(r"targets(/[-a-z0-9_]{1,8}){0,4}", fullmatch=True))
def test_a_role_name_knows_its_ancestors(text: str) -> None:
    name = RoleName.parse(text)
    assert str(name) == text
    assert name.depth == len(name.ancestors) == text.count("/")
    assert name.is_delegation == (name != TARGETS)
    if name.parent is not None:
        assert name.parent.text == parent_of(text)
        assert name.ancestors == (*name.parent.ancestors, name.parent)
