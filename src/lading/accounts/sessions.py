"""Sessions of browsers, and of programs that sign in by `/auth/login`.

Rules:
1. The secret is 256 random bits; the database keeps its SHA-256 only.
2. A session ends when its time is over, when its account is shut out or its credential epoch grew (a new password), and when
   somebody signs out. Account and session are one point read, so that all of that counts at the next request.
3. Used within the renewal threshold before its end, it lives on for another lifetime. A threshold of 0 never extends it. One
   that a provider elsewhere began is never extended: what that says now is asked of it at each sign-in.
4. A user has so many sessions at most; the one used least recently goes. 0 is no limit.

Source: DTR reference 1.6, "Sessions".
"""

import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select
from sqlalchemy.exc import IntegrityError

from lading.accounts import session_store, store
from lading.accounts.accounts import Account
from lading.accounts.errors import WrongCredentialsError
from lading.accounts.session_store import SESSION_AND_ACCOUNT, Session, session_of
from lading.accounts.tables import sign_in_settings
from lading.accounts.token_secrets import SESSION_PREFIX, is_session_secret, make_secret, secret_id
from lading.core.clock import Clock
from lading.core.errors import InvalidError
from lading.database import Database, Point
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.web.cookies import CSRF_COOKIE, SESSION_COOKIE, drop_cookies, set_cookie
from lading.web.exchange import Headers
from lading.web.origin import current_origin

PASSWORD = "password"  # noqa: S105 — the method's name
_CSRF_BYTES = 32
_USED_PRECISION = timedelta(minutes=1)  # how often "used" is written, at most
_FRESH_SECONDS = 3.0
_ROW = "sessions"
_LONGEST_MINUTES = 60 * 24 * 366
_LIMIT = 10_000
_SETTINGS = Point(select(sign_in_settings.c.value).where(sign_in_settings.c.name == bindparam("name")))


class SessionRulesError(InvalidError):
    """Rules that can't be."""

    code = "INVALID_SETTINGS"


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long sessions live, and how many a user has. Source: DTR reference 1.6, with its defaults."""

    lifetime_minutes: int = 60
    renewal_minutes: int = 20  # 0: never extended
    per_user: int = 10  # 0: any number

    def check(self) -> None:
        """Returns when the rules can be. Errors: SessionRulesError."""
        if not 10 <= self.lifetime_minutes <= _LONGEST_MINUTES:  # noqa: PLR2004 — DTR's least
            raise SessionRulesError(f"lifetimeMinutes is a number from 10 to {_LONGEST_MINUTES}")
        if not 0 <= self.renewal_minutes <= self.lifetime_minutes - 5:
            raise SessionRulesError("renewalThresholdMinutes is 0, or at least 5 minutes less than the lifetime")
        if not 0 <= self.per_user <= _LIMIT:
            raise SessionRulesError(f"perUserLimit is a number from 0, for no limit, to {_LIMIT}")

    @property
    def lifetime(self) -> timedelta:
        return timedelta(minutes=self.lifetime_minutes)

    def extended(self, session: Session, now: datetime) -> datetime:
        """When the session ends that is used now."""
        is_near = session.method == PASSWORD and session.expires_at - now < timedelta(minutes=self.renewal_minutes)
        return max(session.expires_at, now + self.lifetime) if is_near else session.expires_at


class SessionSettings:
    """The rules as an administrator set them; every process reads them again after a few seconds."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known = SessionRules()
        self._read_at = float("-inf")

    async def current(self) -> SessionRules:
        """The rules, at most some seconds old."""
        if time.monotonic() - self._read_at >= _FRESH_SECONDS:
            row = await self._database.points.first(_SETTINGS, name=_ROW)
            self._known = SessionRules() if row is None else SessionRules(**json.loads(row[0]))
            self._read_at = time.monotonic()
        return self._known

    async def put(self, rules: SessionRules, *, by: Actor) -> None:
        """The rules from now on. Errors: SessionRulesError."""
        rules.check()
        document = {
            "lifetime_minutes": rules.lifetime_minutes,
            "renewal_minutes": rules.renewal_minutes,
            "per_user": rules.per_user,
        }
        now = self._clock.now()
        told = ", ".join(f"{key}={value}" for key, value in document.items())
        async with self._database.write() as unit:
            await store.put_settings(unit, _ROW, json.dumps(document), now)
            await record(unit, now, Event(EventType.UPDATE, by, ObjectType.SETTINGS, _ROW, content=told))
        self._known, self._read_at = rules, time.monotonic()


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a session: whose it is, and its state after it. `is_extended`: it lives longer now."""

    account: Account
    session: Session
    is_extended: bool = False

    def proves_intent(self, token: str | None) -> bool:
        """True when `token` is the session's CSRF token; as slow for any other."""
        return hmac.compare_digest((token or "").encode(), self.session.csrf.encode())


@dataclass(frozen=True)
class Sessions:
    """The use cases of sessions.

    `is_there` asks an account's directory, if it has one, whether it still knows him. `persistent`: cookies outlive the
    browser, as long as their session does.
    """

    database: Database
    clock: Clock
    settings: SessionSettings
    is_there: Callable[[Account], Awaitable[bool]]
    persistent: Callable[[], bool] = lambda: True

    async def begin(self, account: Account, *, method: str) -> tuple[str, Session]:
        """A new session of the account, and its secret, which can't be had again.

        Errors: WrongCredentialsError when the account was deleted meanwhile.
        """
        rules, now, secret = await self.settings.current(), self.clock.now(), make_secret(SESSION_PREFIX)
        session = Session(
            id=secret_id(secret),
            account_id=account.id,
            csrf=secrets.token_urlsafe(_CSRF_BYTES),
            epoch=account.epoch,
            method=method,
            created_at=now,
            used_at=now,
            expires_at=now + rules.lifetime,
        )
        origin = current_origin()
        try:
            async with self.database.write() as unit:
                await session_store.delete_expired(unit, now)
                if rules.per_user:
                    await session_store.drop_least_used(unit, account.id, keep=rules.per_user - 1)
                await session_store.add_session(unit, session, address=origin.address, user_agent=origin.user_agent)
                await record(unit, now, _event(EventType.SIGN_IN, account, session))
        except IntegrityError as error:
            raise WrongCredentialsError from error
        return secret, session

    async def use(self, secret: str) -> Use | None:
        """Whose session it is, which is used now; None when there is none of that secret (any more)."""
        found = await self.find(secret)
        if found is None or not await self.is_there(found.account):
            return None
        now, session = self.clock.now(), found.session
        expires_at = (await self.settings.current()).extended(session, now)
        is_extended = expires_at > session.expires_at
        if is_extended or now - session.used_at >= _USED_PRECISION:
            session = replace(session, used_at=now, expires_at=expires_at)
            async with self.database.write(durable=False) as unit:
                await session_store.use_session(unit, session.id, now, expires_at)
        return Use(found.account, session, is_extended)

    async def find(self, secret: str) -> Use | None:
        """As `use`, without using it, and without asking the account's directory: for ending it."""
        if not is_session_secret(secret):
            return None
        row = await self.database.points.first(SESSION_AND_ACCOUNT, id=secret_id(secret))
        if row is None:
            return None
        account, session = store.account_of(row), session_of(row)
        if session.expires_at <= self.clock.now():
            return None
        if not account.is_active or account.epoch != session.epoch:
            # Gone for good: it does not come back with the account.
            async with self.database.write(durable=False) as unit:
                await session_store.delete_session(unit, session.id)
            return None
        return Use(account, session)

    async def end(self, use: Use) -> None:
        """The session is over."""
        async with self.database.write() as unit:
            if await session_store.delete_session(unit, use.session.id):
                await record(unit, self.clock.now(), _event(EventType.SIGN_OUT, use.account, use.session))

    def cookies(self, secret: str, session: Session) -> Headers:
        """The headers that give a browser the session."""
        max_age = session.expires_at - self.clock.now() if self.persistent() else None
        return [
            set_cookie(SESSION_COOKIE, secret, max_age=max_age),
            set_cookie(CSRF_COOKIE, session.csrf, max_age=max_age, for_scripts=True),
        ]


def no_cookies() -> Headers:
    """The headers that take a session from a browser."""
    return drop_cookies(SESSION_COOKIE, CSRF_COOKIE)


def _event(kind: EventType, account: Account, session: Session) -> Event:
    return Event(
        kind,
        Actor.account(account.id),
        ObjectType.SESSION,
        session.id,
        object_name=account.name,
        content=session.method,
    )
