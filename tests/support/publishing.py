"""A publisher of trust data with keys of its own: makes files good and bad, for the rules to judge.

What is signed is written by the standard library's JSON, not by the code under test.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from lading.trust.keys import PublicKey
from lading.trust.roles import RoleName
from lading.trust.signatures import Signature
from lading.trust.signed_files import FileMeta
from lading.trust.stored import StoredFiles

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
LATER = "2029-11-22T19:36:37.5Z"
LONG_AGO = "2020-01-01T00:00:00Z"
GUN = "lab.test/alice/app"

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class SigningKey:
    """A private key, and how metadata names its public half."""

    private: PrivateKey
    keytype: str
    public_bytes: bytes

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.keytype, self.public_bytes)

    @property
    def id(self) -> str:
        return self.public.id

    def sign(self, message: bytes, method: str = "") -> Signature:
        match self.private:
            case ed25519.Ed25519PrivateKey():
                return Signature(self.id, method or "eddsa", self.private.sign(message))
            case rsa.RSAPrivateKey():
                pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
                scheme = padding.PKCS1v15() if method == "rsapkcs1v15" else pss
                return Signature(self.id, method or "rsapss", self.private.sign(message, scheme, SHA256()))
            case ec.EllipticCurvePrivateKey():
                r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(SHA256())))
                width = (self.private.curve.key_size + 7) // 8
                return Signature(self.id, method or "ecdsa", r.to_bytes(width) + s.to_bytes(width))


def spki(private: PrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def new_ecdsa(curve: ec.EllipticCurve | None = None) -> SigningKey:
    private = ec.generate_private_key(curve or ec.SECP256R1())
    return SigningKey(private, "ecdsa", spki(private))


def new_ed25519() -> SigningKey:
    private = ed25519.Ed25519PrivateKey.generate()
    return SigningKey(private, "ed25519", private.public_key().public_bytes_raw())


@cache
def rsa_private(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def an_rsa(bits: int = 2048) -> SigningKey:
    private = rsa_private(bits)
    return SigningKey(private, "rsa", spki(private))


def certified(
    key: SigningKey, name: str = GUN, *, start: datetime = NOW, days: int = 3650, authority: bool = False
) -> SigningKey:
    """The key, known by a certificate it signed for itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    assert not isinstance(key.private, ed25519.Ed25519PrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(key.private, SHA256())
    )
    return SigningKey(key.private, f"{key.keytype}-x509", certificate.public_bytes(Encoding.PEM))


def written(document: Mapping[str, Any]) -> bytes:
    """What is signed: sorted, compact, nothing escaped but quotes and backslashes (there are no control characters here)."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signed(document: Mapping[str, Any], *keys: SigningKey) -> bytes:
    message = written(document)
    return with_signatures(message, *[key.sign(message) for key in keys])


def with_signatures(message: bytes, *signatures: Signature) -> bytes:
    listed = [
        {"keyid": item.keyid, "method": item.method, "sig": base64.b64encode(item.sig).decode()} for item in signatures
    ]
    return b'{"signed":' + message + b',"signatures":' + written_list(listed) + b"}"


def written_list(items: list[dict[str, str]]) -> bytes:
    return json.dumps(items, separators=(",", ":")).encode()


def key_map(*keys: SigningKey) -> dict[str, Any]:
    return {key.id: key.public.as_json() for key in keys}


def role(*keys: SigningKey, threshold: int = 1) -> dict[str, Any]:
    return {"keyids": [key.id for key in keys], "threshold": threshold}


def delegation(name: str, *keys: SigningKey, paths: tuple[str, ...] = ("",), threshold: int = 1) -> dict[str, Any]:
    return {"name": name, "paths": list(paths), **role(*keys, threshold=threshold)}


def delegations(keys: tuple[SigningKey, ...], *roles: dict[str, Any]) -> dict[str, Any]:
    return {"keys": key_map(*keys), "roles": list(roles)}


def meta_of(data: bytes) -> dict[str, Any]:
    meta = FileMeta.of(data)
    return {
        "hashes": {name: base64.b64encode(raw).decode() for name, raw in meta.hashes.items()},
        "length": meta.length,
    }


@dataclass(frozen=True)
class Publisher:
    """The keys of one repository; the timestamp's is the server's, the snapshot's is whose a test says."""

    root_key: SigningKey = field(default_factory=lambda: certified(new_ecdsa()))
    targets_key: SigningKey = field(default_factory=new_ecdsa)
    snapshot_key: SigningKey = field(default_factory=new_ecdsa)
    timestamp_key: SigningKey = field(default_factory=new_ed25519)

    def root_document(self, **changes: Any) -> dict[str, Any]:
        named = {
            "root": self.root_key,
            "targets": self.targets_key,
            "snapshot": self.snapshot_key,
            "timestamp": self.timestamp_key,
        }
        return {
            "_type": "Root",
            "consistent_snapshot": False,
            "expires": LATER,
            "keys": key_map(*named.values()),
            "roles": {name: role(key) for name, key in named.items()},
            "version": 1,
            **changes,
        }

    def root(self, *also: SigningKey, **changes: Any) -> bytes:
        return signed(self.root_document(**changes), self.root_key, *also)

    def roles(self, **changes: Any) -> dict[str, Any]:
        return {**self.root_document()["roles"], **changes}

    def targets(self, *, by: SigningKey | None = None, **changes: Any) -> bytes:
        return signed(targets_document(**{"version": 2, **changes}), by or self.targets_key)

    def snapshot(self, files: Mapping[str, bytes], *, by: SigningKey | None = None, **changes: Any) -> bytes:
        meta = {name: meta_of(data) for name, data in files.items()}
        document = {"_type": "Snapshot", "expires": LATER, "meta": meta, "version": 2, **changes}
        return signed(document, by or self.snapshot_key)

    def timestamp(self, snapshot: bytes, **changes: Any) -> bytes:
        meta = {"snapshot": meta_of(snapshot)}
        document = {"_type": "Timestamp", "expires": LATER, "meta": meta, "version": 1, **changes}
        return signed(document, self.timestamp_key)


def targets_document(**changes: Any) -> dict[str, Any]:
    return {
        "_type": "Targets",
        "delegations": {"keys": {}, "roles": []},
        "expires": LATER,
        "targets": {},
        "version": 1,
        **changes,
    }


def stored(**files: bytes) -> StoredFiles:
    """What a server holds; names of delegations are written with two underscores for a slash."""
    current = {RoleName.parse(name.replace("__", "/")): data for name, data in files.items()}
    return StoredFiles(current, {name: json.loads(data)["signed"]["version"] for name, data in current.items()})


NOTHING = StoredFiles({}, {})
