"""Robots: accounts of a namespace without a person, that sign in by an access token and may what they were granted.

A robot is called `robot$NAMESPACE+NAME`, which nobody else can be called, and has nothing by its name: all it may is in grants
to it, which end with the namespace, and can be looked at and changed as everybody's.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from lading.access.grants import check_pattern
from lading.access.roles import LEVELS, Role
from lading.accounts import grant_store, store
from lading.accounts.access_tokens import AccessTokens
from lading.accounts.accounts import AccessToken, Account
from lading.accounts.errors import AccountExistsError, AccountUnknownError
from lading.accounts.grant_store import USER, Subject
from lading.accounts.narrowing import narrowing_line
from lading.core.clock import Clock
from lading.core.errors import InvalidError
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,58}[a-z0-9])?", re.ASCII)


def level_with(words: Sequence[str]) -> str:
    """The lowest level that has all the permissions. A robot's token is narrowed to just those, besides."""
    return next((level.value for level in LEVELS if set(words) <= level.permissions), Role.ADMIN.value)


@dataclass(frozen=True)
class Robots:
    """The use cases of robots; who may call them is the doors' question."""

    database: Database
    clock: Clock
    tokens: AccessTokens

    async def create(
        self,
        owner: Account,
        name: str,
        rights: Sequence[tuple[str, str | None, Sequence[str]]],
        *,
        by: Actor,
        creator_ua: str,
        expires_at: datetime | None,
    ) -> tuple[Account, AccessToken, str]:
        """The robot, its access token, and the secret of it, which can't be had again.

        Shape: `rights` are patterns of repositories in the owner's namespace, each with a level, or permissions by name.
        Errors: InvalidError; PatternInvalidError; AccountExistsError.
        """
        if _NAME.fullmatch(name) is None:
            raise InvalidError(
                f"{name[:60]!r} can't be a robot's name: want up to 60 lower-case letters, digits, '.', '_' or '-'"
            )
        for resource, _, _ in rights:
            if check_pattern(resource).partition("/")[0] != owner.name:
                raise InvalidError(f"a robot of {owner.name} is granted in {owner.name} only, not on {resource}")
        lines = [narrowing_line(resource, level=level, permissions=words) for resource, level, words in rights]
        now = self.clock.now()
        robot = Account(
            str(uuid.uuid4()),
            f"robot${owner.name}+{name}",
            "",
            is_organization=False,
            is_admin=False,
            is_active=True,
            password_hash=None,
            epoch=0,
            created_at=now,
            robot_of=owner.id,
        )
        try:
            async with self.database.write() as unit:
                await store.add_account(unit, robot, now)
                subject = Subject(USER, robot.id)
                for resource, level, words in rights:
                    role = level or level_with(words)
                    await grant_store.put_grant(unit, resource, subject, role, by=by.id or None, now=now)
                made = Event(EventType.CREATE, by, ObjectType.ACCOUNT, robot.id, object_name=robot.name)
                await record(unit, now, made)
        except IntegrityError as error:
            raise AccountExistsError(robot.name) from error
        token, secret = await self.tokens.create(
            robot.id, name, by=by, creator_ua=creator_ua, expires_at=expires_at, narrowing="\n".join(lines)
        )
        return robot, token, secret

    async def list(self, owner: Account) -> list[Account]:
        """The robots of the owner's namespace, in order of their names."""
        async with self.database.read() as connection:
            return await store.robots_of(connection, owner.id)

    async def delete(self, owner: Account, name: str, *, by: Actor) -> None:
        """The robot is gone, with its tokens and grants. `name` may be the whole one. Errors: AccountUnknownError."""
        now = self.clock.now()
        async with self.database.write() as unit:
            whole = name if name.startswith("robot$") else f"robot${owner.name}+{name}"
            robot = await store.find_account(unit, whole)
            if robot is None or robot.robot_of != owner.id:
                raise AccountUnknownError(name)
            await grant_store.delete_grants_of(unit, [Subject(USER, robot.id)])
            await store.delete_account(unit, robot.id)
            await record(unit, now, Event(EventType.DELETE, by, ObjectType.ACCOUNT, robot.id, object_name=robot.name))
