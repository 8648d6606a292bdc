"""One signature by one key: the methods of metadata. Pure.

Rules: a method goes with its own key types only; ECDSA signatures are r and s, each as wide as the curve, not DER; RSA keys
have at least 2048 bits; everything is over SHA-256, but for ed25519, which signs the message itself.
Source: notary-protocol, part 4.3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from lading.trust.keys import KeyInvalidError, KeyType, PublicKey

RSA_BITS_LEAST = 2048

_CURVES = (ec.SECP224R1, ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)  # those that clients know
_PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=SHA256.digest_size)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a file, as it stands there."""

    keyid: str
    method: str
    sig: bytes


def verify_signature(key: PublicKey, signature: Signature, message: bytes) -> bool:
    """Whether the signature is the key's over `message`; False too for an unknown method and an unreadable key."""
    method = _METHODS.get(signature.method.lower())
    if method is None or key.keytype not in method.keytypes:
        return False
    try:
        method.verify(key.load(), signature.sig, message)
    except (InvalidSignature, KeyInvalidError, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _verify_ecdsa(key: object, sig: bytes, message: bytes) -> None:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise InvalidSignature
    width = (key.curve.key_size + 7) // 8
    if len(sig) != 2 * width:
        raise InvalidSignature
    r, s = int.from_bytes(sig[:width]), int.from_bytes(sig[width:])
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))


def _verify_eddsa(key: object, sig: bytes, message: bytes) -> None:
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidSignature
    key.verify(sig, message)


def _verify_rsa_pss(key: object, sig: bytes, message: bytes) -> None:
    _checked_rsa(key).verify(sig, message, _PSS, SHA256())


def _verify_rsa_pkcs1(key: object, sig: bytes, message: bytes) -> None:
    _checked_rsa(key).verify(sig, message, padding.PKCS1v15(), SHA256())


def _checked_rsa(key: object) -> RSAPublicKey:
    if not isinstance(key, RSAPublicKey) or key.key_size < RSA_BITS_LEAST:
        raise InvalidSignature
    return key


@dataclass(frozen=True, slots=True)
class _Method:
    verify: Callable[[object, bytes, bytes], None]
    keytypes: tuple[KeyType, ...]


_METHODS: Mapping[str, _Method] = {
    "ecdsa": _Method(_verify_ecdsa, (KeyType.ECDSA, KeyType.ECDSA_X509)),
    "eddsa": _Method(_verify_eddsa, (KeyType.ED25519,)),
    "rsapss": _Method(_verify_rsa_pss, (KeyType.RSA, KeyType.RSA_X509)),
    "rsapkcs1v15": _Method(_verify_rsa_pkcs1, (KeyType.RSA, KeyType.RSA_X509)),
    "pycrypto-pkcs#1 pss": _Method(_verify_rsa_pss, (KeyType.RSA,)),
}
