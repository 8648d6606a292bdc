"""Certificates of every sort, as clients may show them: from authorities of the tests' own, in time or not, for anything."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lading.keys.authority import KeyPair

_DAY = timedelta(days=1)


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Issuer:
    """An authority that issues leaves and other authorities."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        name: str,
        *,
        begins: timedelta = -_DAY,
        ends: timedelta = _DAY,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> KeyPair:
        """A certificate of that common name; `begins` and `ends` count from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        made = (
            _builder(name_of(name), self.certificate.subject, key, begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return KeyPair(made.public_bytes(serialization.Encoding.PEM).decode(), key_pem(key))

    def issue_server(self, *hosts: str) -> KeyPair:
        """A server's certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        made = (
            _builder(name_of(hosts[0]), self.certificate.subject, key, -_DAY, _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return KeyPair(made.public_bytes(serialization.Encoding.PEM).decode(), key_pem(key))

    def authority(self, name: str) -> "Issuer":
        """Another authority, of which this one vouches."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name_of(name), self.certificate.subject, key, -_DAY, 30 * _DAY)
        return Issuer(_authority(builder).sign(self.key, hashes.SHA256()), key)


def root(name: str) -> Issuer:
    """A new root authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name_of(name), name_of(name), key, -_DAY, 30 * _DAY)
    return Issuer(_authority(builder).sign(key, hashes.SHA256()), key)


def issuer_of(pair: KeyPair) -> Issuer:
    """The authority of a certificate and its key."""
    key = serialization.load_pem_private_key(pair.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Issuer(pair.leaf, key)


def self_signed(name: str) -> KeyPair:
    """A certificate that only itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = _builder(name_of(name), name_of(name), key, -_DAY, _DAY).sign(key, hashes.SHA256())
    return KeyPair(made.public_bytes(serialization.Encoding.PEM).decode(), key_pem(key))


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_pem(pair: KeyPair) -> str:
    """The public key of a certificate."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return pair.leaf.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def write_pair(folder: Path, pair: KeyPair, stem: str = "client") -> tuple[Path, Path]:
    """The pair as files, under the names that Docker looks for."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / f"{stem}.cert", folder / f"{stem}.key"
    certificate.write_text(pair.certificate)
    key.write_text(pair.key)
    return certificate, key


def showing(authority: Path, files: tuple[Path, Path] | None) -> ssl.SSLContext:
    """What a client connects with: trusting that authority, and showing the certificate in the files."""
    context = ssl.create_default_context(cafile=str(authority))
    if files is not None:
        context.load_cert_chain(*files)
    return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: timedelta, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )


def _authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(
        usage, critical=True
    )
