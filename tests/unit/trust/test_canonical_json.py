"""JSON as it is signed: one form for every spelling, and one error for everything else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.trust.canonical_json import DEPTH_LIMIT, JSONInvalidError, encode, parse

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
NUMBERS = st.integers(-(2**53), 2**53)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_the_signed_form_says_what_was_meant(value: Any) -> None:
    assert parse(encode(value)) == value


@given(VALUES)
def test_every_spelling_has_the_same_signed_form(value: Any) -> None:
    for spelling in (json.dumps(value, indent=3), json.dumps(value, ensure_ascii=False)):
        assert encode(parse(f" {spelling}\n".encode())) == encode(value)


@given(st.dictionaries(TEXT, NUMBERS, max_size=6))
def test_keys_stand_in_the_order_of_their_bytes(value: dict[str, int]) -> None:
    parsed = json.loads(encode(dict(value)), object_pairs_hook=lambda pairs: [key.encode() for key, _ in pairs])
    assert parsed == sorted(parsed)


@given(st.binary(max_size=40) | st.text('{}[]",:\\u0dD8e1.-', max_size=30).map(str.encode))
def test_any_bytes_are_a_value_or_the_one_error(data: bytes) -> None:
    try:
        value = parse(data)
    except JSONInvalidError:
        return
    try:
        encode(value)
    except JSONInvalidError as error:
        assert "unsupported value" in error.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{} {}",
        b'{"a":1,"a":1}',
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"01",
        b'"\xff"',
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'"\n"',
        b"\xef\xbb\xbf{}",
        '"a"'.encode("utf-16"),
        b"9223372036854775808",
        b"1" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_hostile_bytes_get_the_one_error(data: bytes) -> None:
    with pytest.raises(JSONInvalidError):
        parse(data)


def test_the_deepest_document_is_read_and_signed() -> None:
    data = b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT
    assert encode(parse(data)) == data


def test_a_document_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(JSONInvalidError, match="at most 3 bytes"):
        parse(b"{}  ", size_limit_bytes=3)


@pytest.mark.parametrize(
    ("spelled", "form"),
    [
        (b"1.0", b"1"),
        (b"1e3", b"1000"),
        (b"-0", b"0"),
        (b"-0.0", b"0"),
        (b"9007199254740993", b"9007199254740992"),  # what a 64-bit float makes of it
        (b'"\\u003c\\/\\u0007\\u00e9"', b'"</\x07\xc3\xa9"'),
        (b'"\\"\\\\"', b'"\\"\\\\"'),
        (b'{"b":null,"a":[true,false]}', b'{"a":[true,false],"b":null}'),
    ],
)
def test_the_signed_form_is_the_written_one(spelled: bytes, form: bytes) -> None:
    assert encode(parse(spelled)) == form


@pytest.mark.parametrize("value", [1.5, 1e-7, float("nan"), float("inf"), 10**400])
def test_a_number_without_signed_form_is_refused_by_name(value: float) -> None:
    with pytest.raises(JSONInvalidError, match="json: unsupported value"):
        encode(value)
