"""The master key: what seals every secret at rest. The one secret that is a file.

AES-256-GCM with a random nonce of 96 bits; the context (what the secret is) is authenticated, so that no sealed value can be
put in another one's place.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lading.core.errors import SettingsError
from lading.core.folders import write_durably

_BYTES = 32
_NONCE_BYTES = 12


class WrongMasterKeyError(SettingsError):
    """What is sealed was sealed by another key."""

    def __init__(self) -> None:
        super().__init__(
            "the master key does not open this installation's secrets: put back the master.key that it was made with "
            "(from the backup), or point LADING_MASTER_KEY_FILE to it"
        )


@dataclass(frozen=True, slots=True)
class MasterKey:
    """256 bits. `id` names the key without telling it."""

    _key: bytes = field(repr=False)

    @classmethod
    def load_or_create(cls, path: Path, *, may_create: bool) -> Self:
        """The key in the file at `path`; made, durably, when there is none and `may_create`. Blocks.

        Shape: 64 hex digits and a line end. Errors: SettingsError.
        """
        if may_create and not path.exists():
            write_durably(path, secrets.token_hex(_BYTES).encode() + b"\n")
        try:
            key = bytes.fromhex(path.read_text().strip())
        except OSError as error:
            raise SettingsError(f"can't read the master key {path}: {error.strerror}") from error
        except ValueError as error:
            raise SettingsError(f"the master key {path} is damaged: want 64 hex digits") from error
        if len(key) != _BYTES:
            raise SettingsError(f"the master key {path} is damaged: want 64 hex digits")
        return cls(key)

    @property
    def id(self) -> str:
        return hashlib.sha256(b"lading master key id\0" + self._key).hexdigest()[:16]

    def seal(self, data: bytes, context: str) -> bytes:
        """`data`, readable only by `open` with this key and the same context."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, data, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """What was sealed. Errors: WrongMasterKeyError."""
        try:
            return AESGCM(self._key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())
        except InvalidTag as error:
            raise WrongMasterKeyError from error
