"""Public keys and certificates that come from outside, as values. Bounded before they are parsed; nothing weak is taken."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from lading.core.errors import InvalidError

PEM_LIMIT = 16 * 1024
"""Characters of one key or certificate."""
AUTHORITIES_LIMIT = 256 * 1024
"""Characters of a bundle of authorities."""
_RSA_BITS = 2048
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_TAKEN = "an EC key on P-256, P-384 or P-521, an Ed25519 key, or an RSA key of 2048 bits or more"


class PublicKeyInvalidError(InvalidError):
    """Not a public key, or not one that is taken."""

    code = "INVALID_PUBLIC_KEY"


class CertificateUnreadableError(InvalidError):
    """Not a certificate in PEM."""

    code = "INVALID_CERTIFICATE"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key. `id` is the SHA-256 of its DER SubjectPublicKeyInfo in hex. Source: DTR reference 1.6."""

    id: str
    pem: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of a PEM that is one, or that is a certificate of one. Errors: PublicKeyInvalidError."""
        if len(text) > PEM_LIMIT:
            raise PublicKeyInvalidError(f"the public key has more than {PEM_LIMIT} characters")
        if _CERTIFICATE in text:
            try:
                return cls(*_identity(Certificate.parse(text).x509))
            except CertificateUnreadableError as error:
                raise PublicKeyInvalidError(error.message) from error
        try:
            key = serialization.load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise PublicKeyInvalidError("publicKey is a public key, or a certificate, in PEM") from error
        return cls(*_identity_of(key))


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, read. `common_name` is empty when it has none, or several."""

    x509: x509.Certificate
    key_id: str
    common_name: str
    begins_at: datetime
    ends_at: datetime

    @classmethod
    def parse(cls, text: str) -> Self:
        """The first certificate of a PEM. Errors: CertificateUnreadableError, PublicKeyInvalidError."""
        if len(text) > PEM_LIMIT:
            raise CertificateUnreadableError(f"the certificate has more than {PEM_LIMIT} characters")
        try:
            found = x509.load_pem_x509_certificate(text.encode())
            key_id, _ = _identity(found)
            names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return cls(
                found,
                key_id,
                str(names[0].value) if len(names) == 1 else "",
                found.not_valid_before_utc,
                found.not_valid_after_utc,
            )
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CertificateUnreadableError("that is not a certificate in PEM") from error

    @property
    def pem(self) -> str:
        return self.x509.public_bytes(serialization.Encoding.PEM).decode()

    def is_issued_by(self, authorities: str) -> bool:
        """Verifies that one of the authorities (PEM) signed it, itself and with no other between."""
        return any(_is_issued_by(self.x509, authority) for authority in read_authorities(authorities))


@lru_cache(maxsize=16)
def read_authorities(text: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a bundle, in order; none for none. Errors: CertificateUnreadableError."""
    if not text.strip():
        return ()
    if len(text) > AUTHORITIES_LIMIT:
        raise CertificateUnreadableError(f"the authorities have more than {AUTHORITIES_LIMIT} characters")
    try:
        return tuple(x509.load_pem_x509_certificates(text.encode()))
    except ValueError as error:
        raise CertificateUnreadableError("authorities are certificates in PEM, one after the other") from error


def check_authorities(text: str) -> None:
    """Returns when each certificate of the bundle may issue others. Errors: CertificateUnreadableError."""
    for authority in read_authorities(text):
        try:
            constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        except (x509.ExtensionNotFound, ValueError):
            constraints = None
        if constraints is None or not constraints.ca:
            name = authority.subject.rfc4514_string()[:200]
            raise CertificateUnreadableError(f"the certificate of {name!r} is not an authority's")


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _identity(certificate: x509.Certificate) -> tuple[str, str]:
    return _identity_of(certificate.public_key())


def _identity_of(key: object) -> tuple[str, str]:
    if isinstance(key, rsa.RSAPublicKey):
        is_taken = key.key_size >= _RSA_BITS
    elif isinstance(key, ec.EllipticCurvePublicKey):
        is_taken = isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1)
    else:
        is_taken = isinstance(key, ed25519.Ed25519PublicKey)
    if not is_taken or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise PublicKeyInvalidError(f"a public key is {_TAKEN}")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_bytes(serialization.Encoding.DER, form)
    return hashlib.sha256(der).hexdigest(), key.public_bytes(serialization.Encoding.PEM, form).decode()
