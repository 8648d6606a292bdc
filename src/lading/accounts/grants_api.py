"""Grants, roles and robots in `/api/v0`: what DTR did not have. Team access in DTR's words is in registry.access_api."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from lading.access import Namespace, Permission, Principal, decide
from lading.access.grants import EVERYTHING, check_pattern
from lading.accounts.account_access import AccountAccess, check_admin
from lading.accounts.accounts import Account
from lading.accounts.errors import AccountUnknownError, NotAllowedError
from lading.accounts.forms import CreateRobot, Name, PutGrant, PutRole, account_json, token_json
from lading.accounts.grant_store import EVERYONE, TEAM, USER, StoredGrant, Subject
from lading.accounts.granting import Granting
from lading.accounts.rights import Rights
from lading.accounts.robots import Robots
from lading.accounts.role_store import StoredRole
from lading.accounts.tokens_api import moment
from lading.accounts.users import Users
from lading.core.clock import rfc3339
from lading.core.errors import InvalidError
from lading.events.log import Actor
from lading.web.api import SignedIn

_RoleName = Annotated[str, Path(max_length=64)]


def router(granting: Granting, robots: Robots, users: Users, access: AccountAccess) -> APIRouter:
    """The endpoints of grants, roles and robots."""
    routes = APIRouter(prefix="/api/v0", tags=["grants"])
    _add_grants(routes, granting, _Grantor(users, access))
    _add_roles(routes, granting)
    _add_robots(routes, robots, access)
    return routes


@dataclass(frozen=True)
class _Grantor:
    """What has to be found and allowed before a grant is given or taken back."""

    users: Users
    access: AccountAccess

    async def check(self, who: Principal, namespace: str) -> None:
        """The caller may grant in the namespace. Errors: AccountUnknownError, NotAllowedError."""
        if namespace == EVERYTHING:
            check_admin(who)
            return
        holder = await Rights(self.access.database.points).about(who, namespace)
        if not decide(holder, Permission.MANAGE_NAMESPACE_ACCESS, Namespace(namespace)):
            await self.access.view(who, namespace)
            raise NotAllowedError(f"grant in {namespace}")

    async def subject(self, who: Principal, namespace: str, kind: str, name: str) -> Subject:
        """Whom the words name. Errors: InvalidError; AccountUnknownError, TeamUnknownError."""
        match kind:
            case "everyone":
                if name:
                    raise InvalidError("everyone has no name: leave subject empty")
                return Subject(EVERYONE)
            case "team":
                return await self._team(who, namespace, name)
        account = await self.users.get(name)
        if account.is_organization:
            raise InvalidError(f"{name[:100]} is an organization: grant to its teams")
        return Subject(USER, account.id)

    async def _team(self, who: Principal, namespace: str, name: str) -> Subject:
        organization, slash, team = name.partition("/")
        if not slash:
            organization, team = namespace, name
        if namespace not in {EVERYTHING, organization}:
            # Source: DTR reference 2.2; a team's rights end where its organization does.
            raise InvalidError(f"a team is granted in its own organization: {name[:100]} is not one of {namespace}")
        _, found = await self.access.team(who, organization, team)
        return Subject(TEAM, found.id)


def _add_grants(routes: APIRouter, granting: Granting, grantor: _Grantor) -> None:
    @routes.get("/grants", summary="Who has which role in a namespace (* for those on all)")
    async def list_grants(
        who: SignedIn, namespace: Annotated[str, Query(max_length=100)] = EVERYTHING
    ) -> dict[str, list[dict[str, Any]]]:
        await grantor.check(who, namespace)
        return {"grants": [grant_json(grant, name) for grant, name in await granting.on(namespace)]}

    @routes.put("/grants", summary="Give a role on repositories")
    async def put_grant(form: PutGrant, who: SignedIn) -> dict[str, Any]:
        namespace = check_pattern(form.resource).partition("/")[0]
        await grantor.check(who, namespace)
        subject = await grantor.subject(who, namespace, form.subject_kind, form.subject)
        made = await granting.put(form.resource, subject, form.role, by=Actor.account(who.account_id))
        return grant_json(made, form.subject)

    @routes.delete("/grants", status_code=204, summary="Take a role back")
    async def delete_grant(
        who: SignedIn,
        resource: Annotated[str, Query(max_length=355)],
        kind: Annotated[str, Query(alias="subjectKind", pattern="^(user|team|everyone)$")],
        subject: Annotated[str, Query(max_length=140)] = "",
    ) -> None:
        namespace = check_pattern(resource).partition("/")[0]
        await grantor.check(who, namespace)
        held_by = await grantor.subject(who, namespace, kind, subject)
        await granting.remove(resource, held_by, by=Actor.account(who.account_id))


def _add_roles(routes: APIRouter, granting: Granting) -> None:
    @routes.get("/roles", summary="Roles that can be given, and what they are made of")
    async def list_roles(who: SignedIn) -> dict[str, list[dict[str, Any]]]:  # noqa: ARG001 — for all who are signed in
        return {"roles": [role_json(role) for role in await granting.roles()]}

    @routes.put("/roles/{name}", summary="Define a role, or change it for all who hold it")
    async def put_role(name: _RoleName, form: PutRole, who: SignedIn) -> dict[str, Any]:
        check_admin(who)
        by = Actor.account(who.account_id)
        return role_json(await granting.put_role(name, form.description, form.permissions, by=by))

    @routes.delete("/roles/{name}", status_code=204, summary="Forget a role that nobody holds")
    async def delete_role(name: _RoleName, who: SignedIn) -> None:
        check_admin(who)
        await granting.delete_role(name, by=Actor.account(who.account_id))


def _add_robots(routes: APIRouter, robots: Robots, access: AccountAccess) -> None:
    base = "/accounts/{namespace}/robots"

    async def owner(who: Principal, namespace: str) -> Account:
        account = await access.manage(who, namespace)
        if account.robot_of is not None:
            raise AccountUnknownError(namespace)
        return account

    @routes.get(base, summary="The robots of a namespace")
    async def list_robots(namespace: Name, who: SignedIn) -> dict[str, list[dict[str, Any]]]:
        found = await robots.list(await owner(who, namespace))
        return {"robots": [account_json(robot) for robot in found]}

    @routes.post(base, status_code=201, summary="Make a robot; its token's secret is shown here only")
    async def create_robot(namespace: Name, form: CreateRobot, who: SignedIn, request: Request) -> dict[str, Any]:
        account = await owner(who, namespace)
        robot, token, secret = await robots.create(
            account,
            form.name,
            [(one.repository, one.access_level, one.permissions) for one in form.repositories],
            by=Actor.account(who.account_id),
            creator_ua=request.headers.get("user-agent", ""),
            expires_at=moment(form.expires_at, "expiresAt"),
        )
        return {"robot": account_json(robot), "token": {**token_json(token), "token": secret}}

    @routes.delete(base + "/{robot}", status_code=204, summary="Delete a robot")
    async def delete_robot(namespace: Name, robot: Name, who: SignedIn) -> None:
        await robots.delete(await owner(who, namespace), robot, by=Actor.account(who.account_id))


def grant_json(grant: StoredGrant, name: str) -> dict[str, Any]:
    """A grant; `subject` is a user's name, or ORGANIZATION/TEAM."""
    return {
        "resource": grant.resource,
        "subjectKind": grant.subject.kind,
        "subject": "" if grant.subject.kind == EVERYONE else name,
        "role": grant.role,
        "createdAt": rfc3339(grant.created_at),
    }


def role_json(role: StoredRole) -> dict[str, Any]:
    """A role."""
    return {
        "name": role.name,
        "description": role.description,
        "permissions": list(role.permissions),
        "isBuiltIn": role.is_built_in,
    }
