"""What an ID token must be, which groups are which teams', and what an account is called."""

import base64
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, RSAKey

from lading.accounts.directories.oidc import ALGORITHMS, OidcRefusedError, _keys_of, verify_id_token
from lading.accounts.directories.oidc_settings import is_linked
from lading.accounts.oidc_sign_in import account_name

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
AT = int(NOW.timestamp())
EC_KEY = ECKey.generate_key("P-256", {"kid": "one"})
OTHER_KEY = ECKey.generate_key("P-256", {"kid": "one"})
RSA_KEY = RSAKey.generate_key(2048, {"kid": "two"})
CLAIMS: dict[str, Any] = {
    "iss": "https://issuer.example",
    "aud": "lading",
    "sub": "s-1",
    "nonce": "n",
    "iat": AT,
    "exp": AT + 60,
}


def sign(key: Key, algorithm: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
    whole = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jwt.encode({"alg": algorithm, **(header or {})}, whole, key, [algorithm], registry)


def with_secret(secret: bytes) -> str:
    """A token with these bytes as an HMAC secret, which joserfc would not make."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    signed = f"{header}.{sign(EC_KEY, 'ES256').split('.')[1]}"
    mac = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
    return f"{signed}.{mac}"


def verified(token: str, key: Key = EC_KEY) -> Any:
    return verify_id_token(
        token, key, ALGORITHMS, issuer="https://issuer.example", client_id="lading", nonce="n", now=NOW
    )


@pytest.mark.parametrize(
    "claims", [{}, {"aud": ["lading"]}, {"aud": ["lading", "x"], "azp": "lading"}, {"iat": AT + 30}]
)
def test_a_good_token_tells_its_claims(claims: dict[str, Any]) -> None:
    assert verified(sign(EC_KEY, "ES256", **claims))["sub"] == "s-1"
    assert verified(sign(RSA_KEY, "RS256", **claims), RSA_KEY)["sub"] == "s-1"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"iss": "https://issuer.example/"},
        {"aud": "other"}, {"aud": None}, {"aud": []}, {"aud": ["lading", "x"]}, {"azp": "other"}, {"aud": {"lading": 1}},
        {"nonce": "m"}, {"nonce": None}, {"nonce": ""},
        {"exp": AT - 61}, {"exp": None}, {"exp": "soon"}, {"iat": AT + 120}, {"iat": None}, {"nbf": AT + 120},
        {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 256}, {"sub": "a\0b"},
    ],
)  # fmt: skip
def test_a_token_for_somebody_or_something_else_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(OidcRefusedError):
        verified(sign(EC_KEY, "ES256", **claims))


def test_only_the_issuers_key_and_asymmetric_algorithms_count() -> None:
    forged = {
        "another key": sign(OTHER_KEY, "ES256"),
        "a key of its own": sign(OTHER_KEY, "ES256", {"jwk": OTHER_KEY.as_dict(private=False)}),
        "the public key as a secret": with_secret(EC_KEY.as_pem(private=False)),
        "no signature": sign(EC_KEY, "ES256").rpartition(".")[0] + ".",
        "none": "eyJhbGciOiJub25lIn0." + sign(EC_KEY, "ES256").split(".")[1] + ".",
        "not a token": "x",
    }
    for token in forged.values():
        with pytest.raises(OidcRefusedError):
            verified(token)
    assert not any(name.startswith("HS") or name == "none" for name in ALGORITHMS)


def test_keys_that_can_not_be_read_or_are_for_something_else_are_left_out() -> None:
    usable = EC_KEY.as_dict(private=False)
    document = {"keys": [{"kty": "EC"}, {"kty": "oct", "k": "AAAA", "kid": "s"}, 7, {**usable, "use": "enc"}, usable]}
    assert list(_keys_of(document)) == ["one"]
    assert _keys_of({}) == _keys_of({"keys": {}}) == {}


@pytest.mark.parametrize(
    ("link", "provider", "groups", "expected"),
    [
        ("devs", "a", {"devs"}, True),
        ("devs", "b", {"devs"}, True),
        ("devs", "a", {"ops"}, False),
        ("a:devs", "a", {"devs"}, True),
        ("a:devs", "b", {"devs"}, False),
        ("a:devs", "b", {"a:devs"}, False),  # a group of that name at the other provider is another group
        ("urn:devs", "a", {"urn:devs"}, True),
        ("a:urn:devs", "a", {"urn:devs"}, True),
        ("", "a", {""}, True),
    ],
)
def test_which_groups_a_link_takes(link: str, provider: str, groups: set[str], *, expected: bool) -> None:
    assert is_linked(link, provider, groups, ["a", "b"]) is expected


@pytest.mark.parametrize(
    ("username", "domain", "expected"),
    [("erika", "", "erika"), (" Erika.M ", "", "erika.m"), ("erika@example.com", "example.com", "erika")],
)
def test_what_an_account_is_called(username: str, domain: str, expected: str) -> None:
    assert account_name(username, domain) == expected


@pytest.mark.parametrize(
    ("username", "domain"),
    [("erika@evil.example", "example.com"), ("erika@example.com", ""), ("", ""), ("@example.com", "example.com"),
     ("a b", ""), ("robot$x", ""), ("a/b", ""), ("é", ""), ("x" * 101, ""), ("a@b@example.com", "example.com")],
)  # fmt: skip
def test_what_no_account_can_be_called(username: str, domain: str) -> None:
    with pytest.raises(OidcRefusedError):
        account_name(username, domain)
