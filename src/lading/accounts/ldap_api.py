"""How accounts come from LDAP, in `/enzi/v0`. Source: DTR reference 1.6, to the letter of its JSON keys.

UCP 3.1.5 and later had the settings below `/api/ucp`; they are answered there, too.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import Field, SecretStr, ValidationError

from lading.access import Permission
from lading.accounts.account_access import AccountAccess, check_admin
from lading.accounts.directories import Directory, DirectoryUser
from lading.accounts.directories.ldap_settings import MemberSync
from lading.accounts.directory_settings import LDAP, Backend, DirectoryChoice, DirectorySettings, SettingsInvalidError
from lading.accounts.directory_sign_in import SYNC, make_directory
from lading.accounts.forms import Form, Name
from lading.accounts.sync_store import ADMINS, Target
from lading.core.clock import Clock
from lading.core.errors import LadingError
from lading.events.log import Actor
from lading.jobs.cron import next_run
from lading.jobs.schedules import Schedules
from lading.web.api import SignedIn

_BASE = "/enzi/v0/config/auth"
_LDAP_PATHS = (f"{_BASE}/ldap", "/enzi/v0/api/ucp/config/auth/ldap", "/api/ucp/config/auth/ldap")
_SHOWN = 20
_Document = Annotated[dict[str, Any], Body(max_length=64)]


class AuthBackend(Form):
    """Where accounts come from: `managed`, from here only; `ldap`, from LDAP, too."""

    backend: Backend


class TryLogin(Form):
    """A name and a password to try, with the settings as they are, or with other ones."""

    username: str = Field(max_length=255)
    password: SecretStr = Field(SecretStr(""), max_length=1024)
    settings: dict[str, Any] | None = None


class GroupLink(Form):
    """DTR's groupLinkConfig: the group of a sign-in provider whose members belong to the team."""

    enable: bool = Field(default=False, alias="enableLink", strict=True)
    group: str = Field("", alias="groupName", max_length=255)


def router(settings: DirectorySettings, schedules: Schedules, access: AccountAccess, clock: Clock) -> APIRouter:
    """The endpoints of LDAP and of member syncs."""
    routes = APIRouter(tags=["directories"])
    _add_settings(routes, settings, schedules, clock)
    _add_trial(routes, settings, clock)
    _add_syncs(routes, settings, access)
    return routes


async def _set_schedule(settings: DirectorySettings, schedules: Schedules, by: Actor) -> None:
    choice = await settings.current()
    if choice.uses_ldap and choice.ldap.schedule:
        await schedules.put(SYNC, choice.ldap.schedule, by=by)
    else:
        await schedules.delete(SYNC, by=by)


def _add_settings(routes: APIRouter, settings: DirectorySettings, schedules: Schedules, clock: Clock) -> None:
    @routes.get(_BASE, summary="Where accounts come from")
    async def read_backend(who: SignedIn) -> dict[str, str]:
        check_admin(who)
        return {"backend": (await settings.current()).backend}

    @routes.put(_BASE, summary="Say where accounts come from")
    async def put_backend(form: AuthBackend, who: SignedIn) -> dict[str, str]:
        check_admin(who)
        by = Actor.account(who.account_id)
        if form.backend == LDAP and not (await settings.current()).ldap.url:
            raise SettingsInvalidError(f"LDAP has no serverURL yet: PUT {_BASE}/ldap first")
        await settings.put_backend(form.backend, by=by)
        await _set_schedule(settings, schedules, by)
        return {"backend": form.backend}

    async def read_ldap(who: SignedIn) -> dict[str, Any]:
        check_admin(who)
        return (await settings.current()).ldap.shown()

    async def put_ldap(who: SignedIn, document: _Document) -> dict[str, Any]:
        check_admin(who)
        asked = document.get("syncSchedule")
        if isinstance(asked, str) and asked:
            next_run(asked, clock.now())  # an error when it is no schedule
        by = Actor.account(who.account_id)
        put = await settings.put_ldap(document, by=by)
        await _set_schedule(settings, schedules, by)
        return put.shown()

    for path in _LDAP_PATHS:
        routes.get(path, summary="How LDAP is asked", include_in_schema=path == _LDAP_PATHS[0])(read_ldap)
        routes.put(path, summary="Say how LDAP is asked", include_in_schema=path == _LDAP_PATHS[0])(put_ldap)


def _add_trial(routes: APIRouter, settings: DirectorySettings, clock: Clock) -> None:
    @routes.post(
        f"{_BASE}/ldap/tryLogin", summary="Try a name, and a password when it is given, and tell what is found"
    )
    async def try_login(form: TryLogin, who: SignedIn) -> dict[str, Any]:
        check_admin(who)
        known = (await settings.current()).ldap
        tried = known if form.settings is None else settings.parsed(form.settings, known)
        targets = [
            *await settings.targets(),
            *([Target(ADMINS, "administrators", tried.admins)] if tried.admins.is_on else []),
        ]

        def ask() -> dict[str, Any]:
            with contextlib.closing(make_directory(DirectoryChoice(LDAP, tried), clock.now())) as directory:
                return _tried(directory, form.username, form.password.get_secret_value(), targets[:_SHOWN])

        try:
            return await asyncio.to_thread(ask)
        except LadingError as error:  # what is to be found out here is just this
            return {"found": False, "message": error.message}


def _tried(directory: Directory, name: str, password: str, targets: Sequence[Target]) -> dict[str, Any]:
    user = directory.find(name)
    if user is None:
        return {"found": False, "message": "no user search finds that name", "searches": directory.explain(name)}
    told = {"found": True, "dn": user.id, "username": user.name, "fullName": user.full_name, "isActive": user.is_active}
    if password:
        told["passwordIsRight"] = directory.check(user, password)
    return {**told, "belongsTo": [_belongs(directory, target, user) for target in targets]}


def _belongs(directory: Directory, target: Target, user: DirectoryUser) -> dict[str, Any]:
    try:
        return {"name": target.name, "isMember": directory.is_member(target.options, user)}
    except LadingError as error:
        return {"name": target.name, "isMember": False, "message": error.message}


def _add_syncs(routes: APIRouter, settings: DirectorySettings, access: AccountAccess) -> None:
    base = "/enzi/v0/accounts/{org}"

    def parsed(document: dict[str, Any]) -> MemberSync:
        try:
            return MemberSync.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the options"
            raise SettingsInvalidError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error

    @routes.get(base + "/teams/{team}/memberSyncConfig", summary="Who belongs to a team by the directory's word")
    async def read_team(org: Name, team: Name, who: SignedIn) -> dict[str, Any]:
        _, known = await access.team(who, org, team, Permission.EDIT_TEAM)
        return (await settings.member_sync(f"team:{known.id}")).model_dump(by_alias=True)

    @routes.put(base + "/teams/{team}/memberSyncConfig", summary="Let the directory say who belongs to a team")
    async def put_team(org: Name, team: Name, who: SignedIn, document: _Document) -> dict[str, Any]:
        organization, known = await access.team(who, org, team, Permission.EDIT_TEAM)
        options, name = parsed(document), f"{organization.name}/{known.name}"
        by = Actor.account(who.account_id)
        await settings.put_member_sync(f"team:{known.id}", organization.id, options, by=by, name=name)
        return options.model_dump(by_alias=True)

    @routes.get(base + "/adminMemberSyncConfig", summary="Who owns an organization by the directory's word")
    async def read_owners(org: Name, who: SignedIn) -> dict[str, Any]:
        organization = await access.organization(who, org, Permission.MANAGE_ACCOUNT)
        return (await settings.member_sync(f"owners:{organization.id}")).model_dump(by_alias=True)

    @routes.put(base + "/adminMemberSyncConfig", summary="Let the directory say who owns an organization")
    async def put_owners(org: Name, who: SignedIn, document: _Document) -> dict[str, Any]:
        organization = await access.organization(who, org, Permission.MANAGE_ACCOUNT)
        options, by = parsed(document), Actor.account(who.account_id)
        target = f"owners:{organization.id}"
        await settings.put_member_sync(target, organization.id, options, by=by, name=organization.name)
        return options.model_dump(by_alias=True)

    @routes.get(base + "/teams/{team}/groupLinkConfig", summary="The provider's group that a team is")
    async def read_link(org: Name, team: Name, who: SignedIn) -> dict[str, Any]:
        _, known = await access.team(who, org, team, Permission.EDIT_TEAM)
        return await settings.group_link(f"team:{known.id}")

    @routes.put(base + "/teams/{team}/groupLinkConfig", summary="Let a provider's group be a team")
    async def put_link(org: Name, team: Name, form: GroupLink, who: SignedIn) -> dict[str, Any]:
        organization, known = await access.team(who, org, team, Permission.EDIT_TEAM)
        link, name = form.model_dump(by_alias=True), f"{organization.name}/{known.name}"
        by = Actor.account(who.account_id)
        await settings.put_group_link(f"team:{known.id}", organization.id, link, by=by, name=name)
        return link
