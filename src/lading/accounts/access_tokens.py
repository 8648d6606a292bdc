"""Making and changing access tokens. The secret is shown once, when it is made."""

from dataclasses import dataclass, replace
from datetime import datetime

from lading.accounts import store
from lading.accounts.accounts import AccessToken
from lading.accounts.errors import TokenUnknownError
from lading.accounts.token_secrets import make_secret, secret_id
from lading.core.clock import Clock
from lading.core.errors import InvalidError
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.web.paging import Page, Paging

_LABEL_LIMIT = 255


@dataclass(frozen=True)
class AccessTokens:
    """The use cases of access tokens; whose they may be is the doors' question to `access.decide`."""

    database: Database
    clock: Clock

    async def create(
        self,
        account_id: str,
        label: str,
        *,
        by: Actor,
        creator_ua: str,
        generated_by: str = "user",
        expires_at: datetime | None = None,
        narrowing: str | None = None,
    ) -> tuple[AccessToken, str]:
        """The token and its secret, which can't be had again. `narrowing` is as grant_store.parse_grants reads it.

        Errors: InvalidError for a label that is too long, or a moment of expiry that is past.
        """
        if len(label) > _LABEL_LIMIT:
            raise InvalidError(f"a label has at most {_LABEL_LIMIT} characters")
        secret, now = make_secret(), self.clock.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidError("the access token would have expired before it was made: give a moment to come")
        token = AccessToken(
            id=secret_id(secret),
            account_id=account_id,
            label=label,
            is_active=True,
            generated_by=generated_by,
            creator_ua=creator_ua[:_LABEL_LIMIT],
            created_at=now,
            last_used_at=None,
            expires_at=expires_at,
            narrowing=narrowing,
        )
        async with self.database.write() as unit:
            await store.add_token(unit, token)
            await record(unit, now, _event(EventType.CREATE, by, token))
        return token, secret

    async def get(self, token_id: str) -> AccessToken:
        """Errors: TokenUnknownError."""
        async with self.database.read() as connection:
            token = await store.find_token(connection, token_id)
        if token is None:
            raise TokenUnknownError
        return token

    async def list(self, account_id: str | None, paging: Paging) -> Page[AccessToken]:
        """A page of an account's tokens (None: everyone's), in order of their ids."""
        async with self.database.read() as connection:
            found = await store.list_tokens(connection, account_id, start=paging.start, limit=paging.size + 1)
            total = await store.count_tokens(connection, account_id) if paging.count else None
        return Page(found[: paging.size], found[paging.size].id if len(found) > paging.size else None, total)

    async def change(self, token: AccessToken, *, by: Actor, label: str | None, is_active: bool | None) -> AccessToken:
        """The token with what was given changed."""
        changed = replace(
            token,
            label=token.label if label is None else label[:_LABEL_LIMIT],
            is_active=token.is_active if is_active is None else is_active,
        )
        async with self.database.write() as unit:
            await store.change_token(unit, token.id, label=changed.label, is_active=changed.is_active)
            await record(unit, self.clock.now(), _event(EventType.UPDATE, by, token))
        return changed

    async def delete(self, token: AccessToken, *, by: Actor) -> None:
        """The token no longer signs in."""
        async with self.database.write() as unit:
            await store.delete_token(unit, token.id)
            await record(unit, self.clock.now(), _event(EventType.DELETE, by, token))

    async def delete_many(
        self, account_id: str | None, *, used_before: datetime | None, generated_by: str, by: Actor
    ) -> int:
        """How many tokens went: those of the account (None: of all) made so and not used since."""
        async with self.database.write() as unit:
            gone = await store.delete_tokens(unit, account_id, used_before=used_before, generated_by=generated_by)
            if gone:
                whose = Event(EventType.DELETE, by, ObjectType.API_TOKEN, account_id or "all", content=f"{gone} tokens")
                await record(unit, self.clock.now(), whose)
            return gone


def _event(kind: EventType, by: Actor, token: AccessToken) -> Event:
    return Event(kind, by, ObjectType.API_TOKEN, token.id, object_name=token.label)
