"""Access tokens' form, and what is remembered of passwords."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.accounts.passwords import HashParameters, Passwords
from lading.accounts.throttle import Throttle
from lading.accounts.token_secrets import PREFIX, is_secret, make_secret, secret_id
from lading.core.errors import TooManyError

CHEAP = HashParameters(memory_kib=8, iterations=1, lanes=1)


def test_a_made_secret_is_recognised_and_never_the_same() -> None:
    first, second = make_secret(), make_secret()
    assert first.startswith(PREFIX)
    assert is_secret(first)
    assert first != second
    assert len(secret_id(first)) == 64


@given(st.text())
def test_other_text_is_no_secret(text: str) -> None:
    assert not is_secret(text)
    assert not is_secret(PREFIX + text)


def test_a_secret_with_one_wrong_character_is_no_secret() -> None:
    secret = make_secret()
    for place in range(len(PREFIX), len(secret)):
        wrong = "a" if secret[place] != "a" else "b"
        assert not is_secret(secret[:place] + wrong + secret[place + 1 :])


async def test_a_remembered_password_dies_with_the_epoch() -> None:
    passwords = Passwords(CHEAP)
    old, new = passwords.hash_now("the old one"), passwords.hash_now("the new one")
    assert await passwords.verify("id", 0, old, "the old one")
    assert await passwords.verify("id", 0, old, "the old one")
    assert not await passwords.verify("id", 1, new, "the old one")
    assert await passwords.verify("id", 1, new, "the new one")
    assert not await passwords.verify("", 0, None, "the old one")
    assert not await passwords.verify("id", 0, old, "the old one" + "x" * 2000)


def test_failures_of_one_address_hold_up_that_address_only() -> None:
    throttle = Throttle()
    for _ in range(10):
        throttle.check("alice", "192.0.2.1")
        throttle.failed("alice", "192.0.2.1")
    with pytest.raises(TooManyError) as caught:
        throttle.check("alice", "192.0.2.1")
    assert 1 <= caught.value.retry_after_seconds <= 60
    throttle.check("alice", "192.0.2.2")
    throttle.check("bob", "192.0.2.1")
    throttle.succeeded("alice", "192.0.2.1")
    throttle.check("alice", "192.0.2.1")
