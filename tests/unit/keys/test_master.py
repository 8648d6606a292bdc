"""The master key: seals, opens, and never the wrong thing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.core.errors import SettingsError
from lading.keys.master import MasterKey, WrongMasterKeyError

KEY, OTHER = MasterKey(b"k" * 32), MasterKey(b"o" * 32)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_with_the_same_key_and_context_only(data: bytes, context: str) -> None:
    sealed = KEY.seal(data, context)
    assert KEY.open(sealed, context) == data
    for key, other in ((OTHER, context), (KEY, context + "x")):
        with pytest.raises(WrongMasterKeyError):
            key.open(sealed, other)


@given(st.integers(min_value=0, max_value=47))
def test_any_flipped_byte_is_found(position: int) -> None:
    sealed = bytearray(KEY.seal(b"a secret of 20 bytes", "x"))
    sealed[position] ^= 1
    with pytest.raises(WrongMasterKeyError):
        KEY.open(bytes(sealed), "x")


def test_the_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    made = MasterKey.load_or_create(path, may_create=True)
    assert MasterKey.load_or_create(path, may_create=True).id == made.id
    assert path.stat().st_mode & 0o777 == 0o600
    assert made.id not in path.read_text()
    assert "key=" not in repr(made)


@pytest.mark.parametrize("text", ["", "xyz", "ab" * 31])
def test_a_damaged_key_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(text)
    with pytest.raises(SettingsError, match="damaged"):
        MasterKey.load_or_create(path, may_create=False)


def test_a_missing_key_is_not_made_when_it_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        MasterKey.load_or_create(tmp_path / "master.key", may_create=False)
