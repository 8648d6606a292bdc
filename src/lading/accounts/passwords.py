"""Passwords: argon2id, in threads, a few at a time. Source: RFC 9106.

Hashing is slow and takes much memory on purpose; so a verified password is remembered for a short while, as a keyed hash
together with the account's epoch, in this process only.
"""

import asyncio
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cachetools import TTLCache

from lading.core.errors import TooManyError

_THREADS = 2
_WAITING_LIMIT = 200  # checks at once; more are sent away, so that guessing can't make everyone wait
_REMEMBERED = 4096
_REMEMBERED_SECONDS = 300
_PASSWORD_LIMIT = 1024  # characters; longer ones are refused before hashing


@dataclass(frozen=True, slots=True)
class HashParameters:
    """What one hash costs. Units: KiB, passes, lanes."""

    memory_kib: int
    iterations: int
    lanes: int


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self, parameters: HashParameters) -> None:
        self._hasher = PasswordHasher(
            time_cost=parameters.iterations, memory_cost=parameters.memory_kib, parallelism=parameters.lanes
        )
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._secret = secrets.token_bytes(32)
        self._verified: TTLCache[bytes, bool] = TTLCache(_REMEMBERED, _REMEMBERED_SECONDS)
        self._nobody = ""

    def hash_now(self, password: str) -> str:
        """The hash to keep, in PHC form. Blocks for some tens of milliseconds."""
        return self._hasher.hash(password)

    async def hash(self, password: str) -> str:
        """The hash to keep, in PHC form."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hasher.hash, password)

    async def verify(self, account_id: str, epoch: int, password_hash: str | None, password: str) -> bool:
        """True when it is the account's password. `password_hash` is None for names that do not exist, or have none.

        Errors: TooManyError while too many wait.
        """
        if not self._nobody:
            # Checked for names that do not exist, so that they take as long as those that do; made at the first check,
            # whosever it is, since most processes never check one.
            self._nobody = await self.hash(secrets.token_urlsafe())
        remembered = hmac.digest(self._secret, f"{account_id}\0{epoch}\0{password_hash}\0{password}".encode(), "sha256")
        if password_hash is not None and remembered in self._verified:
            return True
        known = password_hash if password_hash is not None else self._nobody
        if self._waiting >= _WAITING_LIMIT:
            raise TooManyError("too many are signing in at once; try again in a moment", retry_after_seconds=2)
        self._waiting += 1
        try:
            matches = await asyncio.get_running_loop().run_in_executor(self._pool, self._matches, known, password)
        finally:
            self._waiting -= 1
        if matches and password_hash is not None:
            self._verified[remembered] = True
            return True
        return False

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            self._hasher.verify(password_hash, password[:_PASSWORD_LIMIT])
        except (VerificationError, InvalidHashError):
            return False
        return len(password) <= _PASSWORD_LIMIT

    def needs_rehash(self, password_hash: str) -> bool:
        """True when the hash was made with other parameters than the settings say now."""
        return self._hasher.check_needs_rehash(password_hash)
