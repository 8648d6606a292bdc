"""Certificates that are keys: which one speaks, for which repositories, and which are too weak. Pure.

Rules: of a chain the leaf speaks, the first and only certificate that is no authority; its common name is the repository's
globally unique name (GUN), or a beginning of it followed by `*`; signed with SHA-1, or with an RSA key under 2048 bits, it
counts for nothing. It is valid a day before it says so, for the sake of clocks that are late.
Source: notary-protocol, parts 4.4, 5 (step 4) and 5.1.
"""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.x509.oid import NameOID

from lading.trust.keys import KeyInvalidError, PublicKey
from lading.trust.signatures import RSA_BITS_LEAST

_UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What certificates of strangers may raise as soon as one looks closer."""

_SLACK = timedelta(days=1)  # before the validity's first moment


def find_leaf(key: PublicKey) -> x509.Certificate | None:
    """The certificate that speaks; None when there is no readable chain with one leaf, and that leaf first."""
    if not key.is_certificate:
        return None
    try:
        chain = key.certificates()
        leaves = [certificate for certificate in chain if not _is_authority(certificate)]
    except (KeyInvalidError, *_UNREADABLE):
        return None
    return leaves[0] if len(leaves) == 1 and leaves[0] == chain[0] else None


def is_named_for(certificate: x509.Certificate, gun: str) -> bool:
    """Whether the certificate may speak for the repository `gun`."""
    try:
        names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except _UNREADABLE:
        return False
    if not names:
        return False
    name = names[-1]
    return gun == name or (name.endswith("*") and gun.startswith(name[:-1]))


def find_weakness(certificate: x509.Certificate) -> str | None:
    """What is too weak about the certificate, in words; None when nothing is."""
    try:
        algorithm, key = certificate.signature_hash_algorithm, certificate.public_key()
    except _UNREADABLE:
        return "a signature or key of an unknown kind"
    if isinstance(algorithm, SHA1 | MD5):
        return f"a signature with {algorithm.name.upper()}"
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_LEAST:
        return f"an RSA key of {key.key_size} bits, less than {RSA_BITS_LEAST}"
    return None


def is_valid_at(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether `now` is within the certificate's time."""
    return certificate.not_valid_before_utc - _SLACK <= now <= certificate.not_valid_after_utc


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
