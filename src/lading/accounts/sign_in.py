"""Signing in: a name with its password, or with an access token in the password's place.

Accounts from a directory sign in by the directory; access tokens are never tried there, nor local names.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from lading.accounts import store
from lading.accounts.accounts import Account, Proof
from lading.accounts.directory_sign_in import DirectorySignIn
from lading.accounts.errors import WrongCredentialsError
from lading.accounts.passwords import Passwords
from lading.accounts.sign_in_log import SignInLog
from lading.accounts.throttle import Throttle
from lading.accounts.token_secrets import is_secret, secret_id
from lading.core.clock import Clock
from lading.core.errors import TooManyError
from lading.database import Database

_PASSWORD, _TOKEN = "password", "access token"
_LAST_USED_PRECISION = timedelta(minutes=5)  # how often "last used" is written, at most
_STEP_SECONDS = 0.25


@dataclass(frozen=True)
class SignIn:
    """The use case of proving who one is. The account's state is always read fresh."""

    database: Database
    passwords: Passwords
    throttle: Throttle
    clock: Clock
    log: SignInLog
    directory: DirectorySignIn | None = None

    async def by_secret(self, name: str, secret: str, *, address: str) -> Proof:
        """The account of that name; of a directory's user by whatever name that knows him by.

        Errors: WrongCredentialsError, TooManyError; UnavailableError when a directory does not answer.
        """
        method = _TOKEN if is_secret(secret) else _PASSWORD
        self._check_throttle(name, address, method)
        if method == _TOKEN:
            proof = await self._by_token(secret)
            proof = proof if proof is not None and proof.account.name == name else None
        else:
            proof = await self._by_password_or_late(name, secret)
        return await self._proven(proof, name, address, method)

    async def check_password(self, name: str, password: str, *, address: str) -> None:
        """It is the account's password, and no access token in its place. Errors: WrongCredentialsError, TooManyError."""
        if is_secret(password):
            raise WrongCredentialsError
        await self.by_secret(name, password, address=address)

    async def by_token(self, secret: str, *, address: str) -> Proof:
        """The account whose access token it is. Errors: as `by_secret`."""
        self._check_throttle("", address, _TOKEN)
        return await self._proven(await self._by_token(secret) if is_secret(secret) else None, "", address, _TOKEN)

    def _check_throttle(self, name: str, address: str, method: str) -> None:
        try:
            self.throttle.check(name, address)
        except TooManyError:
            self.log.refused(name, method=method, why="too many failures")
            raise

    async def _proven(self, proof: Proof | None, name: str, address: str, method: str) -> Proof:
        if proof is None or not await self.is_in(proof.account):
            self.throttle.failed(name, address)
            self.log.refused(name, method=method, why="wrong credentials, or the account is shut out")
            raise WrongCredentialsError
        if name:
            self.throttle.succeeded(name, address)
        self.log.succeeded(proof.account.id, proof.account.name, method=method)
        return proof

    async def _by_password_or_late(self, name: str, password: str) -> Proof | None:
        """As `_by_password`; with a directory, refusals come in steps: it takes longer over names that it knows."""
        began = time.monotonic()
        proof = await self._by_password(name, password)
        if proof is None and self.directory is not None and await self.directory.is_used():
            await asyncio.sleep(seconds_to_next_step(time.monotonic() - began))
        return proof

    async def _by_password(self, name: str, password: str) -> Proof | None:
        # PostgreSQL takes no NUL in a text; such a name is nobody's.
        row = None if "\0" in name else await self.database.points.first(store.ACCOUNT_BY_NAME, name=name)
        account = None if row is None else store.account_of(row)
        if self.directory is not None and (account is None or account.directory is not None):
            found = await self.directory.by_password(name, password)
            if found is not None or account is not None:
                return None if found is None else Proof(found)
        known = account.password_hash if account is not None else None
        identity, epoch = (account.id, account.epoch) if account is not None else ("", 0)
        if not await self.passwords.verify(identity, epoch, known, password) or account is None:
            return None
        if known is not None and self.passwords.needs_rehash(known):
            fresh = await self.passwords.hash(password)
            async with self.database.write() as unit:
                await store.replace_password_hash(unit, account.id, known, fresh)
        return Proof(account)

    async def is_in(self, account: Account) -> bool:
        """The account is active, here and in the directory that it comes from. Errors: UnavailableError."""
        if not account.is_active:
            return False
        return account.directory is None or self.directory is None or await self.directory.check_still_there(account)

    async def _by_token(self, secret: str) -> Proof | None:
        row = await self.database.points.first(store.TOKEN_AND_ACCOUNT, id=secret_id(secret))
        if row is None:
            return None
        token, now = store.token_of(row), self.clock.now()
        if not token.is_active or (token.expires_at is not None and token.expires_at <= now):
            return None
        if token.last_used_at is None or now - token.last_used_at > _LAST_USED_PRECISION:
            async with self.database.write(durable=False) as unit:
                await store.change_token(unit, token.id, last_used_at=now)
        return Proof(store.account_of(row), token)


def seconds_to_next_step(elapsed: float) -> float:
    """How long to wait, in seconds, so that all that took less than a step takes as long as each other."""
    return _STEP_SECONDS - elapsed % _STEP_SECONDS
