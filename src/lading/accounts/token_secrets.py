"""The form of access tokens and of sessions' secrets: a prefix that people and scanners recognise, 256 random bits, and a
checksum.

They are never tried as passwords, and passwords of this form are refused.
"""

import hashlib
import secrets
import string
import zlib

PREFIX = "lading_at_"
SESSION_PREFIX = "lading_st_"
_ALPHABET = string.digits + string.ascii_letters
_RANDOM = 43  # characters of 62: 256 bits
_CHECK = 6


def make_secret(prefix: str = PREFIX) -> str:
    """A new secret: the prefix, 43 random letters and digits, 6 of checksum."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return f"{prefix}{random}{_checksum(random)}"


def is_secret(text: str) -> bool:
    """True when `text` has the form of an access token or of a session's secret, its checksum included."""
    return any(_has_form(text, prefix) for prefix in (PREFIX, SESSION_PREFIX))


def is_session_secret(text: str) -> bool:
    """True when `text` has the form of a session's secret."""
    return _has_form(text, SESSION_PREFIX)


def _has_form(text: str, prefix: str) -> bool:
    body = text.removeprefix(prefix)
    return text.startswith(prefix) and len(body) == _RANDOM + _CHECK and _checksum(body[:_RANDOM]) == body[_RANDOM:]


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
