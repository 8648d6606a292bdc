"""The installation's own certificate authorities, and the certificates they issue. Pure, but for making keys.

Everything is EC P-256. Sources: RFC 5280; CA/Browser Forum baseline requirements for what clients insist on (subject
alternative names, key usages).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_LIFE = timedelta(days=3650)
_BACKDATED = timedelta(minutes=5)  # clients' clocks may be a little slow
NAME_LIMIT = 64  # characters of a common name (RFC 5280, upper bounds)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM. The certificate may be followed by its intermediates."""

    certificate: str
    key: str = field(repr=False)

    @property
    def leaf(self) -> x509.Certificate:
        """The first certificate. Errors: ValueError when there is none."""
        return x509.load_pem_x509_certificates(self.certificate.encode())[0]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the leaf, as `AB:CD:…`."""
        return self.leaf.fingerprint(hashes.SHA256()).hex(":").upper()


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority, able to issue."""

    pair: KeyPair

    @classmethod
    def create(cls, name: str, now: datetime, *, title: str = "Lading authority") -> Self:
        """A new authority, self-signed, for ten years. It issues leaves only."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(f"{title} of {name}")
        public = key.public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(KeyPair(_pem(certificate), _key_pem(key)))

    def issue(self, names: Sequence[str], now: datetime, life: timedelta) -> KeyPair:
        """A new server certificate for all `names` (host names and addresses), the authority's own appended."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        certificate = self._signed(
            self._leaf(names[0], key.public_key(), now, life, ExtendedKeyUsageOID.SERVER_AUTH).add_extension(
                alternatives, critical=False
            )
        )
        return KeyPair(_pem(certificate) + self.pair.certificate, _key_pem(key))

    def issue_client(self, name: str, now: datetime, life: timedelta) -> KeyPair:
        """A new client certificate for the account of that name, alone: no alternative name, nothing appended."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._leaf(name, key.public_key(), now, life, ExtendedKeyUsageOID.CLIENT_AUTH)
        return KeyPair(_pem(self._signed(leaf)), _key_pem(key))

    def _leaf(
        self, name: str, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta, purpose: x509.ObjectIdentifier
    ) -> x509.CertificateBuilder:
        issuer = self.pair.leaf
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(issuer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(min(now + life, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )

    def _signed(self, leaf: x509.CertificateBuilder) -> x509.Certificate:
        signer = serialization.load_pem_private_key(self.pair.key.encode(), None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise TypeError("the authority's key is an EC key")
        return leaf.sign(signer, hashes.SHA256())


def needs_renewal(certificate: x509.Certificate, names: Sequence[str], now: datetime, renew_before: timedelta) -> bool:
    """True when the certificate expires within `renew_before`, or is not for exactly these names."""
    return certificate.not_valid_after_utc - now < renew_before or names_of(certificate) != frozenset(names)


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The host names and addresses that a certificate is for; empty when it says none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return frozenset([*names.get_values_for_type(x509.DNSName), *addresses])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:NAME_LIMIT])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
