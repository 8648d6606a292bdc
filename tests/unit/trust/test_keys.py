"""Keys, signatures and certificates: what verifies, what is too weak, what is no key at all."""

import base64
import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.trust.certificates import find_leaf, find_weakness, is_named_for, is_valid_at
from lading.trust.keys import KeyInvalidError, PublicKey
from lading.trust.signatures import Signature, verify_signature
from support.publishing import GUN, NOW, SigningKey, an_rsa, certified, new_ecdsa, new_ed25519, spki

MESSAGE = b'{"_type":"Targets"}'
PEM_RSA = SigningKey(
    an_rsa().private,
    "rsa",
    an_rsa().private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
)
KEYS = {
    "P-256": (new_ecdsa(), "ecdsa"),
    "P-384": (new_ecdsa(ec.SECP384R1()), "ecdsa"),
    "P-521": (new_ecdsa(ec.SECP521R1()), "ecdsa"),
    "ECDSA certificate": (certified(new_ecdsa()), "ecdsa"),
    "RSA": (an_rsa(), "rsapss"),
    "RSA, older padding": (an_rsa(), "rsapkcs1v15"),
    "RSA certificate": (certified(an_rsa()), "rsapss"),
    "RSA as PEM": (PEM_RSA, "pycrypto-pkcs#1 pss"),
    "Ed25519": (new_ed25519(), "eddsa"),
}
EACH = pytest.mark.parametrize(("key", "method"), KEYS.values(), ids=KEYS)


@EACH
def test_a_signature_verifies_whatever_the_case_of_its_method(key: SigningKey, method: str) -> None:
    signature = key.sign(MESSAGE, method)
    assert verify_signature(key.public, signature, MESSAGE)
    assert verify_signature(key.public, replace(signature, method=method.upper()), MESSAGE)


@EACH
@settings(deadline=None)
@given(data=st.data())
def test_a_signature_or_message_changed_anywhere_verifies_no_more(
    key: SigningKey, method: str, data: st.DataObject
) -> None:
    signature = key.sign(MESSAGE, method)
    assert not verify_signature(key.public, replace(signature, sig=flipped(signature.sig, data)), MESSAGE)
    assert not verify_signature(key.public, signature, flipped(MESSAGE, data))


def flipped(text: bytes, data: st.DataObject) -> bytes:
    changed = bytearray(text)
    changed[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    return bytes(changed)


@EACH
def test_a_signature_goes_with_its_own_method_and_its_own_length_only(key: SigningKey, method: str) -> None:
    signature = key.sign(MESSAGE, method)
    others = {"ecdsa", "eddsa", "rsapss", "rsapkcs1v15", "pycrypto-pkcs#1 pss", "", "none"} - {method}
    alike = {"rsapss", "pycrypto-pkcs#1 pss"} if key.keytype == "rsa" and method != "rsapkcs1v15" else set()
    for other in others - alike:
        assert not verify_signature(key.public, replace(signature, method=other), MESSAGE)
    for sig in (b"", signature.sig[:-1], signature.sig + b"\0", b"\0" * len(signature.sig)):
        assert not verify_signature(key.public, replace(signature, sig=sig), MESSAGE)


def test_an_ecdsa_signature_in_der_or_wider_than_the_curve_is_refused() -> None:
    key = new_ecdsa()
    raw = key.sign(MESSAGE).sig
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    padded = raw[:32] + b"\0" + raw[32:]
    assert not verify_signature(key.public, Signature(key.id, "ecdsa", der), MESSAGE)
    assert not verify_signature(key.public, Signature(key.id, "ecdsa", padded), MESSAGE)


@pytest.mark.parametrize("key", [an_rsa(1024), new_ecdsa(ec.SECP256K1())], ids=["short RSA", "unknown curve"])
def test_a_key_that_clients_would_refuse_verifies_nothing(key: SigningKey) -> None:
    assert not verify_signature(key.public, key.sign(MESSAGE), MESSAGE)


@pytest.mark.parametrize("keytype", ["ecdsa", "rsa", "ed25519", "ecdsa-x509", "rsa-x509", "dsa", ""])
@given(public=st.binary(max_size=80) | st.sampled_from([spki(new_ecdsa().private), spki(new_ed25519().private)]))
def test_bytes_that_are_no_key_verify_nothing_and_have_an_id_all_the_same(keytype: str, public: bytes) -> None:
    key = PublicKey(keytype, public)
    assert len(key.id) == 64
    for method in ("ecdsa", "eddsa", "rsapss", "rsapkcs1v15"):
        assert not verify_signature(key, Signature(key.id, method, bytes(64)), MESSAGE)


def test_a_key_of_another_kind_than_its_type_says_is_refused() -> None:
    key = new_ecdsa()
    assert not verify_signature(PublicKey("rsa", key.public_bytes), key.sign(MESSAGE, "rsapss"), MESSAGE)
    with pytest.raises(KeyInvalidError):
        PublicKey("ecdsa-x509", b"no certificate").canonical_id  # noqa: B018 — a property that may fail


def test_the_members_of_a_key_stand_in_the_order_of_the_recorded_answers() -> None:
    document: Any = new_ecdsa().public.as_json()
    assert list(document) == ["keytype", "keyval"]
    assert list(document["keyval"]) == ["public", "private"]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        (GUN, True),
        ("lab.test/alice/*", True),
        ("*", True),
        ("lab.test/alice", False),
        ("lab.test/bob/*", False),
        ("lab.test/alice-*", False),
    ],
)
def test_a_certificate_speaks_for_its_name_or_what_its_star_covers(name: str, *, named: bool) -> None:
    leaf = find_leaf(certified(new_ecdsa(), name).public)
    assert leaf is not None
    assert is_named_for(leaf, GUN) is named


def test_a_certificate_is_valid_from_a_day_before_its_first_moment_to_its_last() -> None:
    leaf = find_leaf(certified(new_ecdsa(), days=10).public)
    assert leaf is not None
    moments = [NOW - timedelta(days=1, seconds=1), NOW - timedelta(days=1), NOW + timedelta(days=10)]
    assert [is_valid_at(leaf, at) for at in (*moments, NOW + timedelta(days=10, seconds=1))] == [
        False,
        True,
        True,
        False,
    ]


def test_of_a_chain_the_one_leaf_speaks_and_stands_first() -> None:
    leaf, other = certified(new_ecdsa()), certified(new_ecdsa())
    authority = certified(new_ecdsa(), "an authority", authority=True)

    def chain(*keys: SigningKey) -> PublicKey:
        return PublicKey("ecdsa-x509", b"".join(key.public_bytes for key in keys))

    assert find_leaf(chain(leaf, authority)) == leaf.public.certificates()[0]
    for bad in (chain(authority, leaf), chain(leaf, other), chain(authority), chain(), new_ecdsa().public):
        assert find_leaf(bad) is None


def test_short_rsa_and_sha1_are_weaknesses() -> None:
    short, sha1 = certified(an_rsa(1024)).public, PublicKey("rsa-x509", SHA1_CERTIFICATE)
    weaknesses = [find_weakness(key.certificates()[0]) for key in (short, sha1, certified(new_ecdsa()).public)]
    assert weaknesses == ["an RSA key of 1024 bits, less than 2048", "a signature with SHA1", None]


CERTIFICATES = [certified(new_ecdsa()).public, certified(an_rsa(1024)).public]


@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
@given(st.sampled_from(CERTIFICATES), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3))
def test_a_certificate_with_bytes_changed_is_judged_or_refused_and_nothing_else(
    key: PublicKey, changes: list[tuple[int, int]]
) -> None:
    der = bytearray(key.certificates()[0].public_bytes(Encoding.DER))
    for place, byte in changes:
        der[place % len(der)] = byte
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(bytes(der)) + b"-----END CERTIFICATE-----\n"
    changed = PublicKey(key.keytype, pem)
    leaf = find_leaf(changed)
    if leaf is not None:
        assert isinstance(is_named_for(leaf, GUN), bool)
        assert find_weakness(leaf) != ""
        assert isinstance(is_valid_at(leaf, NOW), bool)
    assert not verify_signature(changed, Signature(changed.id, "ecdsa", bytes(64)), MESSAGE)
    with contextlib.suppress(KeyInvalidError):
        assert changed.canonical_id != changed.id


def test_a_certificate_of_an_unheard_of_version_is_no_key() -> None:
    der = CERTIFICATES[0].certificates()[0].public_bytes(Encoding.DER)
    place = der.index(b"\xa0\x03\x02\x01\x02") + 4
    body = base64.encodebytes(der[:place] + b"\x07" + der[place + 1 :])
    key = PublicKey("ecdsa-x509", b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n")
    assert find_leaf(key) is None
    with pytest.raises(KeyInvalidError):
        key.load()


SHA1_CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIC/TCCAeWgAwIBAgIUIvexBSyqK25OA3F9CNtg7Mx5aTEwDQYJKoZIhvcNAQEF
BQAwDjEMMAoGA1UEAwwDbGFiMB4XDTI2MTEyNTEzMDgxMloXDTM2MTEyMjEzMDgx
MlowDjEMMAoGA1UEAwwDbGFiMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKC
AQEAjzLv20H0GbC7UnzGIYAnhbC3jrPMfSQdykda6Y2UL1OADoSGdYyFB2A1aUwd
gDBQS84zBQ6g/KxOkwmkIYYalbcE5qL4CS8dFIERZdut/Vuj+K1BHk3xGtJ+kUxU
eCIBNIeh4043RJAzRm8LDV7qU0AsYbjkXTVODaFqF2wOjMZR2A6eZiPT8kXQXCcr
m8pv98HC77TEivK0Gg9mtbgBBXpTkFDsetjKaA1XTUn5F1boiAjXpmpzenNcKOZ9
tE58J9WMhH2Ck54qhIp2Qp4db5EKThC2vof6bA/n/IhD7uv5uM8B0vcCj2+d6rjj
mcKKS9QfeIMKg8CesuorsLFzZQIDAQABo1MwUTAdBgNVHQ4EFgQUssRKnorVH7on
eRLof/UgRaH3UzMwHwYDVR0jBBgwFoAUssRKnorVH7oneRLof/UgRaH3UzMwDwYD
VR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQUFAAOCAQEAYqvakCeiHKdIUlORFTCb
L3KbCYQzprSnUxGYRRbVolLBjbdRaWKSX92I0wJv+YK65fELlPdYKKd53P+fjBJ2
VbIAzYsrfI1MG4YfHyffhgCLloVBghF5N6OEBoUpykOEngPzbF/yvHy3ozvzA0mW
t3udTafWnLAQ2UfpTvH3amQ2POu5EZ0cTF1eiy0evIna4IbuN+l10LqzbXMMlTAq
SnJ46F/8A7m2uCM+iYIqYjqSJrt5smRl4IUam2deGoCb4DZ9bygla0p88OBfc9HQ
795Ui9/K4g4r2he+FBvZjWkIOHJkLEGW3EtAirY7QVKqAO4BcaYs7YfhrEFq6NZ3
hA==
-----END CERTIFICATE-----
"""  # openssl req -x509 -newkey rsa:2048 -sha1 -nodes -subj /CN=lab, its private key thrown away
