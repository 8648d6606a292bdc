"""Names, tags and digests: what is taken, and that nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.core.digests import Digest, DigestInvalidError
from lading.core.names import (
    NameInvalidError,
    RepositoryName,
    Tag,
    TagInvalidError,
    check_account_name,
    parse_reference,
)

PART = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)


@given(st.lists(PART, min_size=2, max_size=6))
def test_a_legal_name_is_taken_as_it_is(parts: list[str]) -> None:
    name = RepositoryName.parse("/".join(parts))
    assert (name.namespace, name.name) == (parts[0], "/".join(parts[1:]))


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "a/", "/a", "a//b", "A/b", "a/B", "a/../b", "a/./b", "a/.b", "a/b.", "a/b..c", "a/_b", "a/b___c", "a/-b",
        "a/b\n", "a/b\x00", "a/b c", "a/ä", "a/" + "b" * 254,
    ],
)  # fmt: skip
def test_an_illegal_name_is_refused(text: str) -> None:
    with pytest.raises(NameInvalidError):
        RepositoryName.parse(text)


def test_a_name_without_namespace_tells_what_is_missing() -> None:
    with pytest.raises(NameInvalidError, match="HOST/NAMESPACE/NAME"):
        RepositoryName.parse("hello")


@pytest.mark.parametrize("text", ["", ".a", "-a", "a" * 129, "a/b", "a b", "a\n", "ä"])
def test_an_illegal_tag_is_refused(text: str) -> None:
    with pytest.raises(TagInvalidError):
        Tag.parse(text)


@given(st.binary(max_size=200), st.sampled_from(["sha256", "sha512"]))
def test_a_digest_parses_back_to_itself(data: bytes, algorithm: str) -> None:
    digest = Digest.of(data, algorithm)
    assert Digest.parse(str(digest)) == digest
    assert (digest.algorithm, f"{digest.algorithm}:{digest.hex}") == (algorithm, str(digest))


@pytest.mark.parametrize(
    "text",
    [
        "", "sha256:", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "sha256:" + "g" * 64, "md5:" + "a" * 32,
        "sha256:../../x", "sha512:" + "a" * 64, "sha256:" + "a" * 64 + "\n", "sha256:baddigeststring",
    ],
)  # fmt: skip
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(DigestInvalidError):
        Digest.parse(text)


@given(st.text(max_size=300))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except (TagInvalidError, DigestInvalidError):
        return
    assert str(reference) == text


@pytest.mark.parametrize("text", ["Ada", "ada lovelace", "ada/lovelace", "", "a" * 101, "-ada"])
def test_an_account_name_that_is_no_namespace_is_refused(text: str) -> None:
    with pytest.raises(NameInvalidError):
        check_account_name(text)
