"""The form of access tokens: a prefix that people and scanners recognise, 256 random bits, and a checksum.

They are never tried as passwords, and passwords of this form are refused.
"""

import hashlib
import secrets
import string
import zlib

PREFIX = "lading_at_"
_ALPHABET = string.digits + string.ascii_letters
_RANDOM = 43  # characters of 62: 256 bits
_CHECK = 6


def make_secret() -> str:
    """A new secret: `lading_at_`, 43 random letters and digits, 6 of checksum."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return f"{PREFIX}{random}{_checksum(random)}"


def is_secret(text: str) -> bool:
    """True when `text` has the form of an access token, its checksum included."""
    body = text.removeprefix(PREFIX)
    return text.startswith(PREFIX) and len(body) == _RANDOM + _CHECK and _checksum(body[:_RANDOM]) == body[_RANDOM:]


def secret_id(secret: str) -> str:
    """DTR's hashedToken: what the database keeps instead of the secret. The secret is random, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(random: str) -> str:
    number = zlib.crc32(random.encode())
    digits = []
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)
