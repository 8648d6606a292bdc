"""Public keys of accounts: what client certificates and signatures are known by. Source: DTR reference 1.6 and 3.5.

Deleting a key revokes it: who proves himself by its certificate is out at the next request.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import IntegrityError

from lading.accounts import public_key_store as store
from lading.accounts.accounts import Account
from lading.accounts.public_key_store import KeyCertificate, RegisteredKey
from lading.core.clock import Clock
from lading.core.errors import ConflictError, InvalidError, UnknownError
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.keys.public_keys import Certificate, PublicKey
from lading.web.paging import Page, Paging

KEYS_LIMIT = 500
"""Keys of one account."""


class PublicKeyUnknownError(UnknownError):
    """The account has no such key."""

    code = "NO_SUCH_PUBLIC_KEY"

    def __init__(self) -> None:
        super().__init__("the account has no such public key")


class PublicKeyExistsError(ConflictError):
    """A key names one account."""

    code = "PUBLIC_KEY_EXISTS"

    def __init__(self) -> None:
        super().__init__("the public key is registered already, with this account or another: use a key of your own")


class TooManyKeysError(ConflictError):
    """So many keys nobody uses."""

    code = "TOO_MANY_PUBLIC_KEYS"

    def __init__(self) -> None:
        super().__init__(f"the account has {KEYS_LIMIT} public keys: delete those that nobody uses any more")


@dataclass(frozen=True)
class PublicKeys:
    """The use cases of an account's public keys; who may call them is the doors' question."""

    database: Database
    clock: Clock

    async def list(self, account: Account, paging: Paging) -> Page[RegisteredKey]:
        """The account's keys in order of their ids."""
        async with self.database.read() as connection:
            found = await store.list_keys(connection, account.id, start=paging.start, limit=paging.size + 1)
            total = await store.count_keys(connection, account.id) if paging.count else None
        return Page(found[: paging.size], found[paging.size].id if len(found) > paging.size else None, total)

    async def get(self, account: Account, key_id: str) -> RegisteredKey:
        """Errors: PublicKeyUnknownError."""
        async with self.database.read() as connection:
            found = await store.find_key(connection, account.id, key_id)
        if found is None:
            raise PublicKeyUnknownError
        return found

    async def add(
        self, account: Account, key: PublicKey, certificates: Sequence[KeyCertificate], *, label: str, by: Actor
    ) -> RegisteredKey:
        """The key is the account's, with these certificates of it.

        Errors: PublicKeyExistsError, TooManyKeysError, CertificateUnreadableError; InvalidError for another key's certificate.
        """
        now = self.clock.now()
        listed = tuple(_checked(item, key) for item in certificates)
        made = RegisteredKey(key.id, account.id, key.pem, label, listed, now)
        try:
            async with self.database.write() as unit:
                if await store.is_held_by_another(unit, account.id, key.id):
                    raise PublicKeyExistsError
                if await store.count_keys(unit, account.id) >= KEYS_LIMIT:
                    raise TooManyKeysError
                await store.add_key(unit, made)
                await record(unit, now, _event(EventType.CREATE, by, account, key.id, label))
        except IntegrityError as error:
            raise PublicKeyExistsError from error
        return made

    async def relabel(self, account: Account, key_id: str, label: str, *, by: Actor) -> RegisteredKey:
        """The key under its new label. Errors: PublicKeyUnknownError."""
        known = await self.get(account, key_id)
        async with self.database.write() as unit:
            if not await store.change_label(unit, account.id, key_id, label):
                raise PublicKeyUnknownError
            await record(unit, self.clock.now(), _event(EventType.UPDATE, by, account, key_id, label))
        return replace(known, label=label)

    async def delete(self, account: Account, key_id: str, *, by: Actor) -> None:
        """The key, and with it every certificate of it, counts no longer. Errors: PublicKeyUnknownError."""
        known = await self.get(account, key_id)
        async with self.database.write() as unit:
            if not await store.delete_key(unit, account.id, key_id):
                raise PublicKeyUnknownError
            await record(unit, self.clock.now(), _event(EventType.DELETE, by, account, key_id, known.label))


def _checked(item: KeyCertificate, key: PublicKey) -> KeyCertificate:
    found = Certificate.parse(item.pem)
    if found.key_id != key.id:
        raise InvalidError("a certificate is not one of the public key")
    return KeyCertificate(item.label, found.pem)


def _event(kind: EventType, by: Actor, account: Account, key_id: str, label: str) -> Event:
    return Event(kind, by, ObjectType.PUBLIC_KEY, key_id, object_name=account.name, content=label)
