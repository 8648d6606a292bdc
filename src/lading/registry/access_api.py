"""Which teams may what on repositories and namespaces, in DTR's words. Source: DTR reference 1.2, "Team access".

A team's level is the grant of a built-in role to it, on the whole name of a repository or on `NAMESPACE/*`.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel

from lading.access import Namespace, Permission, Principal, Repository, Role, decide
from lading.accounts import organization_store
from lading.accounts.account_access import AccountAccess
from lading.accounts.accounts import Account
from lading.accounts.errors import (
    AccountUnknownError,
    GrantUnknownError,
    NotAllowedError,
    NotAnOrganizationError,
    TeamUnknownError,
)
from lading.accounts.forms import Level, Name, account_json
from lading.accounts.grant_store import TEAM, Subject
from lading.accounts.granting import Granting
from lading.accounts.organization_store import StoredTeam
from lading.accounts.rights import Rights
from lading.core.names import RepositoryName
from lading.events.log import Actor
from lading.registry import access_store
from lading.registry.access_store import Granted
from lading.registry.api import Part, parse_name, repository_json
from lading.registry.dtr_errors import NamespaceAccessUnknownError, RepositoryUnknownError
from lading.registry.repositories import Repositories
from lading.registry.repository_store import StoredRepository
from lading.web.api import SignedIn
from lading.web.asked_page import AskedPage, tell_page
from lading.web.paging import Page

_TeamName = Annotated[str, Path(max_length=140)]
_LEVELS = (
    (Role.ADMIN, Permission.EDIT_REPOSITORY),
    (Role.READ_WRITE, Permission.PUSH),
    (Role.READ_ONLY, Permission.PULL),
)


class Access(BaseModel):
    """DTR's form:Access."""

    accessLevel: Level  # noqa: N815 — the key's name


def router(repositories: Repositories, granting: Granting, access: AccountAccess) -> APIRouter:
    """The endpoints of team access and effective access."""
    routes = APIRouter(prefix="/api/v0", tags=["access"])
    _add_repository_access(routes, repositories, granting, access)
    _add_namespace_access(routes, granting, access)
    _add_views(routes, repositories, access)
    return routes


async def _team_of(access: AccountAccess, organization: Account, name: str) -> StoredTeam:
    async with access.database.read() as connection:
        found = await organization_store.find_team(connection, organization.id, name)
    if found is None:
        raise TeamUnknownError(name)
    return found


async def _owner(access: AccountAccess, namespace: str) -> Account:
    """The organization that owns the namespace. Errors: NotAnOrganizationError. Source: DTR reference 2.2."""
    account = await access.find(namespace)
    if account is None:
        raise AccountUnknownError(namespace)
    if not account.is_organization:
        raise NotAnOrganizationError(namespace)
    return account


def _add_repository_access(
    routes: APIRouter, repositories: Repositories, granting: Granting, access: AccountAccess
) -> None:
    base = "/repositories/{namespace}/{reponame}/teamAccess"

    async def the_repository(who: Principal, namespace: str, reponame: str) -> StoredRepository:
        return await repositories.get(who, parse_name(namespace, reponame), Permission.MANAGE_ACCESS)

    def told(repository: StoredRepository, page: Page[Granted], response: Response) -> dict[str, Any]:
        found = [
            {"accessLevel": item.role, "team": team_json(item.team, is_member=item.is_member)}
            for item in tell_page(page, response)
        ]
        return {"repository": repository_json(repository), "teamAccessList": found}

    @routes.get(base, summary="Teams with a level on the repository")
    async def list_teams(
        namespace: Part, reponame: Part, who: SignedIn, paging: AskedPage, response: Response
    ) -> dict[str, Any]:
        repository = await the_repository(who, namespace, reponame)
        page = await access_store.page_of_teams(access.database, repository.name.text, who.account_id, paging)
        return told(repository, page, response)

    @routes.put(base + "/{teamname}", summary="Give a team a level on the repository")
    async def put_team(
        namespace: Part, reponame: Part, teamname: _TeamName, form: Access, who: SignedIn, response: Response
    ) -> dict[str, Any]:
        repository = await the_repository(who, namespace, reponame)
        team = await _team_of(access, await _owner(access, repository.name.namespace), teamname)
        by = Actor.account(who.account_id)
        await granting.put(repository.name.text, Subject(TEAM, team.id), form.accessLevel, by=by)
        one = await access_store.one_team(access.database, repository.name.text, team.id, who.account_id)
        return told(repository, Page([one] if one is not None else []), response)

    @routes.delete(base + "/{teamname}", status_code=204, summary="Take a team's level on the repository away")
    async def delete_team(namespace: Part, reponame: Part, teamname: _TeamName, who: SignedIn) -> None:
        repository = await the_repository(who, namespace, reponame)
        team = await _team_of(access, await _owner(access, repository.name.namespace), teamname)
        await _take_back(granting, repository.name.text, team, who)


async def _take_back(granting: Granting, resource: str, team: StoredTeam, who: Principal) -> None:
    """DTR answers 204 also when there was nothing to take back. Source: DTR reference 1.1."""
    try:
        await granting.remove(resource, Subject(TEAM, team.id), by=Actor.account(who.account_id))
    except GrantUnknownError:
        return


def _add_namespace_access(routes: APIRouter, granting: Granting, access: AccountAccess) -> None:
    base = "/repositoryNamespaces/{namespace}/teamAccess"

    async def check(who: Principal, namespace: str) -> Account:
        """The organization, in whose namespace the caller may grant."""
        holder = await Rights(access.database.points).about(who, namespace)
        if not decide(holder, Permission.MANAGE_NAMESPACE_ACCESS, Namespace(namespace)):
            await access.view(who, namespace)
            raise NotAllowedError(f"grant in {namespace}")
        return await _owner(access, namespace)

    @routes.get(base, summary="Teams with a level on the whole namespace")
    async def list_teams(namespace: Name, who: SignedIn, paging: AskedPage, response: Response) -> dict[str, Any]:
        organization = await access.organization(who, namespace)
        page = await access_store.page_of_teams(access.database, f"{organization.name}/*", who.account_id, paging)
        found = [
            {"accessLevel": item.role, "team": team_json(item.team, is_member=item.is_member)}
            for item in tell_page(page, response)
        ]
        return {"namespace": organization.name, "teamAccessList": found}

    @routes.get(base + "/{teamname}", summary="A team's level on the whole namespace")
    async def read_team(namespace: Name, teamname: _TeamName, who: SignedIn) -> dict[str, Any]:
        organization, team = await access.team(who, namespace, teamname)
        return await told(organization, team, who)

    @routes.put(base + "/{teamname}", summary="Give a team a level on the whole namespace")
    async def put_team(namespace: Name, teamname: _TeamName, form: Access, who: SignedIn) -> dict[str, Any]:
        organization = await check(who, namespace)
        team = await _team_of(access, organization, teamname)
        by = Actor.account(who.account_id)
        await granting.put(f"{organization.name}/*", Subject(TEAM, team.id), form.accessLevel, by=by)
        return await told(organization, team, who)

    @routes.delete(base + "/{teamname}", status_code=204, summary="Take a team's level on the namespace away")
    async def delete_team(namespace: Name, teamname: _TeamName, who: SignedIn) -> None:
        organization = await check(who, namespace)
        team = await _team_of(access, organization, teamname)
        await _take_back(granting, f"{organization.name}/*", team, who)

    async def told(organization: Account, team: StoredTeam, who: Principal) -> dict[str, Any]:
        one = await access_store.one_team(access.database, f"{organization.name}/*", team.id, who.account_id)
        if one is None:
            raise NamespaceAccessUnknownError(organization.name, team.name)
        known = team_json(one.team, is_member=one.is_member)
        return {"accessLevel": one.role, "namespace": organization.name, "team": known}


def _add_views(routes: APIRouter, repositories: Repositories, access: AccountAccess) -> None:
    @routes.get("/accounts/{orgname}/teams/{teamname}/repositoryAccess", summary="What a team was granted")
    async def of_team(
        orgname: Name, teamname: _TeamName, who: SignedIn, paging: AskedPage, response: Response
    ) -> dict[str, Any]:
        _, team = await access.team(who, orgname, teamname)
        async with access.database.read() as connection:
            member = await organization_store.find_team_member(connection, team.id, who.account_id or "")
        if member is None:
            # Other members see the team, and not which private repositories it was given. Source: DTR reference 1.2.
            await access.organization(who, orgname, Permission.MANAGE_ACCOUNT)
        page = await access_store.page_of_repositories(access.database, team.id, paging)
        found = [{"accessLevel": role, "repository": repository_json(item)} for item, role in tell_page(page, response)]
        return {"team": team_json(team, is_member=member is not None), "repositoryAccessList": found}

    @routes.get(
        "/accounts/{username}/repositoryAccess/{namespace}/{reponame}", summary="What a user may on a repository"
    )
    async def of_user(username: Name, namespace: Part, reponame: Part, who: SignedIn) -> dict[str, Any]:
        account = await access.manage(who, username)
        name = parse_name(namespace, reponame)
        repository = await repositories.get(account.principal, name)
        level = await _level(access, account, repository, name)
        if level is None:
            raise RepositoryUnknownError(name)
        return {"accessLevel": level, "repository": repository_json(repository), "user": account_json(account)}


async def _level(
    access: AccountAccess, account: Account, repository: StoredRepository, name: RepositoryName
) -> str | None:
    holder = await Rights(access.database.points).about(account.principal, name.namespace, name.name)
    resource = Repository(name.namespace, name.name, repository.visibility)
    return next((role.value for role, permission in _LEVELS if decide(holder, permission, resource)), None)


def team_json(team: StoredTeam, *, is_member: bool) -> dict[str, Any]:
    """DTR's Team in these answers; name and description are what eNZi tells besides."""
    return {
        "id": team.id,
        "clientUserIsMember": is_member,
        "orgID": team.organization_id,
        "name": team.name,
        "description": team.description,
        "membersCount": team.members,
    }
