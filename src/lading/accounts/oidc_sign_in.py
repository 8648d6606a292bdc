"""Signing in by an OpenID provider: what the browser keeps while it is away, and the account that belongs to who comes back.

Rules:
1. An account is bound to a provider and the subject that it names him by, and to nothing else: neither name nor mail address
   ever leads to an account. A name that an account has already is refused, whosever account that is.
2. What the browser keeps is sealed, and good for ten minutes and for the provider that it was made for.
3. At each sign-in the provider's groups say in which linked teams the account is, and whether it is an administrator.
"""

import hmac
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts import oidc_store, store
from lading.accounts.accounts import Account
from lading.accounts.directories.oidc import OidcRefusedError, OidcUser, Started
from lading.accounts.directories.oidc_settings import OidcSettings, is_linked
from lading.accounts.oidc_providers import OidcProviders, directory_of
from lading.accounts.sync_plan import plan_members
from lading.core.clock import Clock
from lading.core.errors import InvalidError
from lading.core.names import check_account_name
from lading.database import Database
from lading.events.log import SYSTEM, Event, EventType, ObjectType, record
from lading.keys.master import WrongMasterKeyError
from lading.keys.store import SecretStore

AWAY = timedelta(minutes=10)
"""How long a browser may be away."""
_CONTEXT = "oidc sign-in"
_SEALED_CHARACTERS = 4096
_FULL_NAME = 255


@dataclass(frozen=True, slots=True)
class Answered:
    """What a provider sent the browser back with."""

    state: str
    code: str
    issuer: str | None
    error: str | None


@dataclass(frozen=True)
class OidcSignIn:
    """The use cases."""

    database: Database
    clock: Clock
    secrets: SecretStore
    providers: OidcProviders

    async def begin(self, name: str, *, redirect_uri: str, then: str) -> tuple[str, str]:
        """Where the browser goes, and what it keeps meanwhile; `then` is where it wants to be afterwards.

        Errors: ProviderUnknownError, OidcUnavailableError.
        """
        started = Started.make(redirect_uri)
        address = await (await self.providers.get(name)).begin(started)
        kept = {"provider": name, "then": then, "at": self.clock.now().timestamp(), **asdict(started)}
        return address, self.secrets.seal_text(json.dumps(kept), _CONTEXT)

    async def finish(self, name: str, answered: Answered, sealed: str) -> tuple[Account, str]:
        """Who came back, and where he wants to be. `sealed` is what the browser kept.

        Errors: OidcRefusedError, ProviderUnknownError, OidcUnavailableError.
        """
        started, then = self._kept(name, sealed)
        if not hmac.compare_digest(answered.state.encode(), started.state.encode()):
            raise OidcRefusedError("the answer is not to what this browser asked: begin again")
        if answered.error is not None:
            raise OidcRefusedError(f"the provider says {_shown(answered.error)!r}")
        provider = await self.providers.get(name)
        user = await provider.finish(started, answered.code, answered.issuer, self.clock.now())
        return await self._account_of(name, provider.settings, user), then

    def _kept(self, name: str, sealed: str) -> tuple[Started, str]:
        try:
            kept = json.loads(self.secrets.open_text(sealed[:_SEALED_CHARACTERS], _CONTEXT))
        except (WrongMasterKeyError, ValueError) as error:
            raise OidcRefusedError("this browser did not begin here: begin again, with cookies allowed") from error
        age = self.clock.now().timestamp() - kept.pop("at")
        if kept.pop("provider") != name or not 0 <= age <= AWAY.total_seconds():
            raise OidcRefusedError("it took too long, or was begun with another provider: begin again")
        then = str(kept.pop("then"))
        return Started(**kept), then

    async def _account_of(self, name: str, settings: OidcSettings, user: OidcUser) -> Account:
        """The account bound to the user, new at his first sign-in, in the teams that his groups say."""
        now, providers = self.clock.now(), await self.providers.list()
        try:
            async with self.database.write() as unit:
                known = await oidc_store.find_account_from(unit, directory_of(name), user.subject)
                account = known or await _add_account(unit, name, settings, user, now)
                if not account.is_active:
                    raise OidcRefusedError(f"the account {account.name} is shut out here")
                account = await _update(unit, name, settings, account, user, now)
                if user.groups is not None:
                    await _set_teams(unit, name, account, user.groups, providers, now)
        except IntegrityError as error:
            raise OidcRefusedError("somebody else was made an account of that name just now: try again") from error
        return account


def account_name(username: str, domain: str) -> str:
    """The name that an account gets for a provider's user name, whose domain is left out when it is `domain`.

    Errors: OidcRefusedError.
    """
    name, at, tail = username.strip().lower().rpartition("@")
    if at and tail != domain:
        raise OidcRefusedError(
            f"{_shown(username)!r} can't be an account's name: an administrator can set usernameDomain, or another claim"
        )
    try:
        return check_account_name(name if at else tail)
    except InvalidError as error:
        raise OidcRefusedError(error.message) from error


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:100])


async def _add_account(
    unit: AsyncConnection, provider: str, settings: OidcSettings, user: OidcUser, now: datetime
) -> Account:
    name = account_name(user.username, settings.username_domain)
    if not settings.creates_users:
        raise OidcRefusedError("you have no account here, and none is made at a first sign-in")
    if await store.find_account(unit, name) is not None:
        raise OidcRefusedError(
            f"the name {name} is taken here by another account, which this provider does not speak for"
        )
    account = Account(
        str(uuid.uuid4()),
        name,
        user.full_name[:_FULL_NAME].replace("\0", ""),
        is_organization=False,
        is_admin=False,
        is_active=True,
        password_hash=None,
        epoch=0,
        created_at=now,
        directory=directory_of(provider),
        directory_id=user.subject,
    )
    await store.add_account(unit, account, now, on_demand=True)
    made = Event(EventType.CREATE, SYSTEM, ObjectType.ACCOUNT, account.id, name, content=directory_of(provider))
    await record(unit, now, made)
    return account


async def _update(
    unit: AsyncConnection, provider: str, settings: OidcSettings, account: Account, user: OidcUser, now: datetime
) -> Account:
    """The account with its full name, and with or without an administrator's rights, as the provider says."""
    changed = replace(account, full_name=user.full_name[:_FULL_NAME].replace("\0", "") or account.full_name)
    if settings.admin_group and user.groups is not None:
        shall = settings.admin_group in user.groups
        # Somebody must be able to mend the settings that make nobody an administrator.
        if shall or not await store.is_last_admin(unit, account.id):
            changed = replace(changed, is_admin=shall)
    if changed != account:
        await store.change_account(unit, account.id, now, full_name=changed.full_name, is_admin=changed.is_admin)
    if changed.is_admin != account.is_admin:
        told = f"is_admin={str(changed.is_admin).lower()} by {directory_of(provider)}"
        await record(
            unit, now, Event(EventType.UPDATE, SYSTEM, ObjectType.ACCOUNT, account.id, account.name, content=told)
        )
    return changed


async def _set_teams(
    unit: AsyncConnection,
    provider: str,
    account: Account,
    groups: frozenset[str],
    providers: Iterable[str],
    now: datetime,
) -> None:
    """Of the linked teams the account is in those that take one of its groups."""
    linked = {team.id: team for team in await oidc_store.linked_teams(unit)}
    if not linked:
        return
    names = frozenset(providers)
    wanted = [key for key, team in linked.items() if is_linked(team.link, provider, groups, names)]
    plan = plan_members(wanted, await oidc_store.teams_of(unit, account.id) & linked.keys())
    if plan.remove:
        await oidc_store.leave_teams(unit, plan.remove, account.id)
    for key in sorted(plan.add):
        await oidc_store.join_team(unit, linked[key], account.id, now)
    for kind, keys in ((EventType.DELETE, plan.remove), (EventType.CREATE, plan.add)):
        told = [f"member of {linked[key].title}" for key in sorted(keys)]
        events = [Event(kind, SYSTEM, ObjectType.MEMBER, account.id, account.name, content=one) for one in told]
        await record(unit, now, *events)
