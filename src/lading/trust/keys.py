"""Public keys as metadata holds them, and their two ids. Pure.

Rules: an id is a digest of the key's canonical JSON, so what a key is called proves what it is; a certificate has an id of
its own, and the canonical id of the bare key in it. A key of an unknown type is kept, and verifies nothing.
Source: notary-protocol, parts 4 and 4.1.
"""

import base64
import hashlib
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from lading.core.errors import InvalidError
from lading.trust import canonical_json
from lading.trust.canonical_json import JSONValue


class KeyType(StrEnum):
    """What kind of key; `public` is DER, 32 raw bytes for ed25519, PEM certificates for the x509 types."""

    ECDSA = "ecdsa"
    ED25519 = "ed25519"
    RSA = "rsa"
    ECDSA_X509 = "ecdsa-x509"
    RSA_X509 = "rsa-x509"


_BARE = {KeyType.ECDSA_X509: KeyType.ECDSA, KeyType.RSA_X509: KeyType.RSA}


class KeyInvalidError(InvalidError):
    """A key whose bytes are not what its type says."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key of metadata, not looked into before it is used."""

    keytype: str  # mostly a KeyType
    public: bytes

    @property
    def id(self) -> str:
        """The key id of TUF, 64 hex digits."""
        return hashlib.sha256(canonical_json.encode(self.as_json())).hexdigest()

    @property
    def canonical_id(self) -> str:
        """The id that private key files and `docker trust inspect` show; differs from `id` for certificates.

        Errors: KeyInvalidError, for a certificate that cannot be read.
        """
        if not self.is_certificate:
            return self.id
        spki = self.load().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey(_BARE[KeyType(self.keytype)], spki).id

    @property
    def is_certificate(self) -> bool:
        return self.keytype in _BARE

    def as_json(self) -> dict[str, JSONValue]:
        """The key as metadata and the answers to `.key` hold it, members in the order of those answers."""
        public = base64.b64encode(self.public).decode()
        return {"keytype": self.keytype, "keyval": {"public": public, "private": None}}

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The PEM certificates in the key, at least one, in their order. Errors: KeyInvalidError."""
        try:
            return tuple(x509.load_pem_x509_certificates(self.public))
        except (ValueError, x509.InvalidVersion) as error:
            raise KeyInvalidError("the key holds no readable PEM certificate") from error

    def load(self) -> PublicKeyTypes:
        """The key to verify with; that of the first certificate, for certificates. Errors: KeyInvalidError."""
        try:
            match self.keytype:
                case KeyType.ECDSA_X509 | KeyType.RSA_X509:
                    return self.certificates()[0].public_key()
                case KeyType.ED25519:
                    return Ed25519PublicKey.from_public_bytes(self.public)
                case KeyType.RSA if self.public.startswith(b"-----BEGIN"):  # of the oldest clients
                    return load_pem_public_key(self.public)
                case KeyType.ECDSA | KeyType.RSA:
                    return load_der_public_key(self.public)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyInvalidError(f"the bytes are no key of the type {self.keytype}") from error
        raise KeyInvalidError("the key is of an unknown type")
