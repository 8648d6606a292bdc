"""Organizations, members and teams in `/enzi/v0`. Source: DTR reference 1.6."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from lading.access import Permission, Principal
from lading.accounts.account_access import AccountAccess, is_admin
from lading.accounts.accounts import Account
from lading.accounts.errors import MemberUnknownError
from lading.accounts.forms import (
    CreateTeam,
    MemberFilter,
    Name,
    SetMember,
    UpdateTeam,
    account_json,
    asked_accounts_page,
    member_json,
    team_json,
)
from lading.accounts.organization_store import Member
from lading.accounts.organizations import Organizations
from lading.accounts.users import Users
from lading.events.log import Actor
from lading.web.api import SignedIn
from lading.web.asked_page import tell_page
from lading.web.paging import Page, Paging

_AskedPage = Annotated[Paging, Depends(asked_accounts_page)]
_Filter = Annotated[MemberFilter, Query(alias="filter")]
_BASE = "/enzi/v0/accounts"


def router(users: Users, organizations: Organizations, access: AccountAccess) -> APIRouter:
    """The endpoints of organizations."""
    routes = APIRouter(tags=["organizations"])
    _add_members(routes, users, organizations, access)
    _add_teams(routes, organizations, access)
    _add_team_members(routes, users, organizations, access)
    return routes


def _members_json(page: Page[Member], response: Response) -> Mapping[str, Any]:
    told = [member_json(item) for item in tell_page(page, response)]
    return {"members": told, "nextPageStart": page.next_start or "", "resourceCount": page.total}


async def _one_of(users: Users, member: str) -> Account:
    """The account of that name, for those who may not know which there are. Errors: MemberUnknownError."""
    account = await users.find(member)
    if account is None:
        raise MemberUnknownError(member)
    return account


async def _is_self(users: Users, who: Principal, member: str) -> Account | None:
    """The caller's own account, when `member` names it."""
    account = await users.find(member)
    return account if account is not None and account.id == who.account_id else None


def _add_members(routes: APIRouter, users: Users, organizations: Organizations, access: AccountAccess) -> None:
    @routes.get(_BASE + "/{user}/organizations", summary="The organizations that a user belongs to")
    async def list_organizations(user: Name, who: SignedIn, paging: _AskedPage, response: Response) -> dict[str, Any]:
        page = await organizations.organizations_of(await access.manage(who, user), paging)
        counts = await users.organization_counts([item.account for item in page.items])
        found = [
            {"org": account_json(item.account, counts.get(item.account.id)), "isAdmin": item.is_admin}
            for item in tell_page(page, response)
        ]
        return {"memberOrgs": found, "nextPageStart": page.next_start or ""}

    @routes.get(_BASE + "/{org}/members", summary="An organization's members")
    async def list_members(
        org: Name, who: SignedIn, paging: _AskedPage, response: Response, kind: _Filter = "all"
    ) -> Mapping[str, Any]:
        organization = await access.organization(who, org)
        return _members_json(await organizations.members(organization, paging, kind=kind), response)

    @routes.get(_BASE + "/{org}/members/{member}", summary="One member")
    async def read_member(org: Name, member: Name, who: SignedIn) -> dict[str, Any]:
        organization = await access.organization(who, org)
        return member_json(await organizations.member(organization, await _one_of(users, member)))

    @routes.put(_BASE + "/{org}/members/{member}", summary="Add a member, or make an owner of one")
    async def put_member(org: Name, member: Name, form: SetMember, who: SignedIn) -> dict[str, Any]:
        organization = await access.organization(who, org, Permission.MANAGE_ACCOUNT)
        by = Actor.account(who.account_id)
        account = await users.get(member)
        return member_json(await organizations.put_member(organization, account, is_admin=form.is_admin, by=by))

    @routes.delete(_BASE + "/{org}/members/{member}", status_code=204, summary="Remove a member, from its teams, too")
    async def delete_member(org: Name, member: Name, who: SignedIn) -> None:
        account = await _is_self(users, who, member)  # everyone may leave
        needed = Permission.MANAGE_ACCOUNT if account is None else Permission.VIEW_NAMESPACE
        organization = await access.organization(who, org, needed)
        account = account or await users.find(member)
        if account is not None:
            by, force = Actor.account(who.account_id), is_admin(who)
            await organizations.remove_member(organization, account, by=by, force=force)

    @routes.get(_BASE + "/{org}/members/{member}/teams", summary="The teams that a member is in")
    async def list_teams_of(
        org: Name, member: Name, who: SignedIn, paging: _AskedPage, response: Response
    ) -> dict[str, Any]:
        organization = await access.organization(who, org)
        known = await organizations.member(organization, await _one_of(users, member))
        page = await organizations.teams_of(organization, known.account, paging)
        found = [{"team": team_json(team), "isAdmin": admin} for team, admin in tell_page(page, response)]
        return {"memberTeams": found, "nextPageStart": page.next_start or ""}


def _add_teams(routes: APIRouter, organizations: Organizations, access: AccountAccess) -> None:
    base, one = _BASE + "/{org}/teams", _BASE + "/{org}/teams/{team}"

    @routes.get(base, summary="An organization's teams")
    async def list_teams(org: Name, who: SignedIn, paging: _AskedPage, response: Response) -> dict[str, Any]:
        page = await organizations.teams(await access.organization(who, org), paging)
        found = [team_json(item) for item in tell_page(page, response)]
        return {"teams": found, "nextPageStart": page.next_start or "", "resourceCount": page.total}

    @routes.post(base, status_code=201, summary="Make a team")
    async def create_team(org: Name, form: CreateTeam, who: SignedIn) -> dict[str, Any]:
        organization = await access.organization(who, org, Permission.MANAGE_ACCOUNT)
        by = Actor.account(who.account_id)
        return team_json(await organizations.create_team(organization, form.name, form.description, by=by))

    @routes.get(one, summary="One team")
    async def read_team(org: Name, team: Name, who: SignedIn) -> dict[str, Any]:
        return team_json((await access.team(who, org, team))[1])

    @routes.patch(one, summary="Change a team")
    async def change_team(org: Name, team: Name, form: UpdateTeam, who: SignedIn) -> dict[str, Any]:
        organization, known = await access.team(who, org, team, Permission.EDIT_TEAM)
        changed = await organizations.change_team(
            organization, known, by=Actor.account(who.account_id), name=form.name, description=form.description
        )
        return team_json(changed)

    @routes.delete(one, status_code=204, summary="Delete a team, with all that was granted to it")
    async def delete_team(org: Name, team: Name, who: SignedIn) -> None:
        await access.organization(who, org, Permission.MANAGE_ACCOUNT)
        organization, known = await access.team(who, org, team)
        await organizations.delete_team(organization, known, by=Actor.account(who.account_id))


def _add_team_members(routes: APIRouter, users: Users, organizations: Organizations, access: AccountAccess) -> None:
    base = _BASE + "/{org}/teams/{team}/members"

    @routes.get(base, summary="A team's members")
    async def list_members(
        org: Name, team: Name, who: SignedIn, paging: _AskedPage, response: Response, kind: _Filter = "all"
    ) -> Mapping[str, Any]:
        _, known = await access.team(who, org, team)
        return _members_json(await organizations.team_members(known, paging, kind=kind), response)

    @routes.get(base + "/{member}", summary="One member of a team")
    async def read_member(org: Name, team: Name, member: Name, who: SignedIn) -> dict[str, Any]:
        _, known = await access.team(who, org, team)
        return member_json(await organizations.team_member(known, await _one_of(users, member)))

    @routes.put(base + "/{member}", summary="Add a member to a team, or make an admin of one")
    async def put_member(org: Name, team: Name, member: Name, form: SetMember, who: SignedIn) -> dict[str, Any]:
        organization, known = await access.team(who, org, team, Permission.EDIT_TEAM)
        put = await organizations.put_team_member(
            organization,
            known,
            await users.get(member),
            is_admin=form.is_admin,
            by=Actor.account(who.account_id),
        )
        return member_json(put)

    @routes.delete(base + "/{member}", status_code=204, summary="Remove a member from a team")
    async def delete_member(org: Name, team: Name, member: Name, who: SignedIn) -> None:
        account = await _is_self(users, who, member)
        needed = Permission.EDIT_TEAM if account is None else Permission.VIEW_TEAM
        organization, known = await access.team(who, org, team, needed)
        account = account or await users.find(member)
        if account is None:
            return
        try:
            await organizations.team_member(known, account)
        except MemberUnknownError:
            return
        await organizations.remove_team_member(organization, known, account, by=Actor.account(who.account_id))
