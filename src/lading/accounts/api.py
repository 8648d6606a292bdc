"""Accounts in `/enzi/v0`, and what `/api/v0` says of them. Source: DTR reference 1.2 and 1.6.

What the caller may not see does not exist for him: the same answer as for what nobody has.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from lading.access import Principal
from lading.accounts.account_access import AccountAccess, check_admin
from lading.accounts.account_deletion import AccountDeletion
from lading.accounts.accounts import Account
from lading.accounts.directory_sign_in import DirectorySignIn
from lading.accounts.errors import (
    AccountExistsError,
    AccountUnknownError,
    NotAllowedError,
    NotAUserError,
    PasswordMissingError,
    UserUnknownError,
)
from lading.accounts.forms import (
    AccountFilter,
    ChangePassword,
    CreateAccount,
    Name,
    Operation,
    Operations,
    UpdateAccount,
    UserSettings,
    account_json,
    asked_accounts_page,
)
from lading.accounts.organizations import Organizations
from lading.accounts.sign_in import SignIn
from lading.accounts.users import Users
from lading.core.errors import InvalidError, LadingError
from lading.events.log import Actor
from lading.web.api import SignedIn
from lading.web.asked_page import tell_page
from lading.web.paging import Paging

_AskedPage = Annotated[Paging, Depends(asked_accounts_page)]
_Order = Literal["name", "+name", "-name", "fullName", "+fullName", "-fullName", " name", " fullName"]


def router(
    users: Users,
    organizations: Organizations,
    access: AccountAccess,
    deletion: AccountDeletion,
    directory: DirectorySignIn,
    sign_in: SignIn,
) -> APIRouter:
    """The endpoints of accounts."""
    routes = APIRouter(tags=["accounts"])
    changes = _Changes(users, organizations, access, deletion, directory)
    _add_accounts(routes, users, access, changes)
    _add_passwords(routes, users, access, sign_in)
    _add_registry_side(routes, users, access, deletion)
    return routes


class _Changes:
    """Making, changing and deleting accounts, one by one or many at once."""

    def __init__(
        self,
        users: Users,
        organizations: Organizations,
        access: AccountAccess,
        deletion: AccountDeletion,
        directory: DirectorySignIn,
    ) -> None:
        self._directory = directory
        self._users = users
        self._organizations = organizations
        self._access = access
        self._deletion = deletion

    async def create(self, who: Principal, form: CreateAccount) -> Account:
        check_admin(who)
        by = Actor.account(who.account_id)
        if form.is_organization:
            if form.password is not None or form.is_admin:
                raise InvalidError("an organization has no password, and is no administrator")
            return await self._organizations.create(form.name, by=by, full_name=form.full_name)
        if form.search_ldap:
            return await self._create_from_directory(form)
        if form.password is None:
            raise PasswordMissingError
        return await self._users.create(
            form.name,
            form.password.get_secret_value(),
            by=by,
            full_name=form.full_name,
            is_admin=form.is_admin,
            is_active=form.is_active,
        )

    async def _create_from_directory(self, form: CreateAccount) -> Account:
        """The directory's user of that name, before his first sign-in. Source: DTR reference 1.6, searchLDAP."""
        user = await self._directory.find(form.name)
        if user is None or user.name != form.name:
            raise AccountUnknownError(form.name)
        made = await self._directory.make(user, on_demand=False)
        if made is None:
            raise AccountExistsError(form.name)
        return made

    async def change(self, who: Principal, name: str, form: UpdateAccount) -> Account:
        account = await self._access.manage(who, name)
        if form.is_active is not None or form.is_admin is not None:
            check_admin(who)
            if account.is_organization:
                raise NotAUserError(account.name)
        return await self._users.change(
            account.name,
            by=Actor.account(who.account_id),
            full_name=form.full_name,
            is_admin=form.is_admin,
            is_active=form.is_active,
        )

    async def delete(self, who: Principal, name: str, *, with_owned: bool) -> None:
        check_admin(who)
        account = await self._access.manage(who, name)
        await self._deletion.delete(account, by=Actor.account(who.account_id), with_owned=with_owned)

    async def carry_out(self, who: Principal, operation: Operation) -> dict[str, Any]:
        told: dict[str, Any] = {"op": operation.op, "ref": operation.ref, "success": True}
        try:
            match operation.op:
                case "create":
                    await self.create(who, CreateAccount.model_validate(operation.value))
                case "update":
                    await self.change(who, operation.ref, UpdateAccount.model_validate(operation.value))
                case "delete":
                    await self.delete(who, operation.ref, with_owned=False)
        except ValidationError as error:
            first = error.errors()[0]
            message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            return {**told, "success": False, "error": {"code": "INVALID_PARAMETERS", "message": message}}
        except LadingError as error:
            return {**told, "success": False, "error": {"code": error.code, "message": error.message}}
        return told


def _add_accounts(routes: APIRouter, users: Users, access: AccountAccess, changes: _Changes) -> None:
    base = "/enzi/v0/accounts"

    async def told(account: Account) -> dict[str, Any]:
        counts = await users.organization_counts([account]) if account.is_organization else {}
        return account_json(account, counts.get(account.id))

    @routes.get(base, summary="Accounts")
    async def list_accounts(
        who: SignedIn,
        paging: _AskedPage,
        response: Response,
        kind: Annotated[AccountFilter, Query(alias="filter")] = "all",
        contains: Annotated[str, Query(max_length=100)] = "",
        order: Annotated[_Order, Query(description="name or fullName, with - for the other way round")] = "name",
    ) -> dict[str, Any]:
        check_admin(who)
        word = order.strip()  # a plus in a query is a space
        page = await users.list(
            paging, kind=kind, contains=contains, order=word.lstrip("+-"), down=word.startswith("-")
        )
        usual, made = await users.counts()
        counts = await users.organization_counts(page.items)
        found = [account_json(item, counts.get(item.id)) for item in tell_page(page, response)]
        totals = {"usersCount": usual, "orgsCount": made, "resourceCount": page.total}
        return {"accounts": found, **totals, "nextPageStart": page.next_start or ""}

    @routes.post(base, status_code=201, summary="Make a user or an organization")
    async def create_account(form: CreateAccount, who: SignedIn) -> dict[str, Any]:
        return account_json(await changes.create(who, form))

    @routes.patch(base, summary="Make, change and delete many accounts, each done or refused by itself")
    async def change_accounts(form: Operations, who: SignedIn) -> dict[str, Any]:
        check_admin(who)
        return {"results": [await changes.carry_out(who, operation) for operation in form.operations]}

    @routes.get(base + "/{name}", summary="One account")
    async def read_account(name: Name, who: SignedIn) -> dict[str, Any]:
        return await told(await access.view(who, name))

    @routes.patch(base + "/{name}", summary="Change an account")
    async def change_account(name: Name, form: UpdateAccount, who: SignedIn) -> dict[str, Any]:
        return await told(await changes.change(who, name, form))

    @routes.delete(base + "/{name}", status_code=204, summary="Delete an account that owns no repositories")
    async def delete_account(name: Name, who: SignedIn) -> None:
        await changes.delete(who, name, with_owned=False)

    @routes.delete("/api/v0/accounts/{namespace}", status_code=204, summary="Delete an account and its repositories")
    async def delete_all(namespace: Name, who: SignedIn) -> None:
        await changes.delete(who, namespace, with_owned=True)


def _add_passwords(routes: APIRouter, users: Users, access: AccountAccess, sign_in: SignIn) -> None:
    @routes.post("/enzi/v0/accounts/{name}/changePassword", summary="Set a password")
    async def change_password(name: Name, form: ChangePassword, who: SignedIn, request: Request) -> dict[str, Any]:
        account = await access.manage(who, name)
        if account.is_organization or account.robot_of is not None:
            raise NotAUserError(account.name)
        if account.id == who.account_id:
            # A session, or a token, that was left lying about must not be enough to take the account over.
            address = request.client.host if request.client is not None else ""
            await sign_in.check_password(account.name, form.old.get_secret_value(), address=address)
        await users.set_password(account.name, form.new.get_secret_value(), by=Actor.account(who.account_id))
        return account_json(account)


def _add_registry_side(routes: APIRouter, users: Users, access: AccountAccess, deletion: AccountDeletion) -> None:
    base = "/api/v0/accounts"

    async def user(who: Principal, name: str) -> Account:
        try:
            return await access.manage(who, name)
        except (AccountUnknownError, NotAllowedError) as error:
            raise UserUnknownError(name) from error

    # Before what has a name in its place: no account can be called so there.
    @routes.get(base + "/language", summary="The language that pages are shown in")
    async def language(who: SignedIn) -> dict[str, str]:  # noqa: ARG001 — only for those who are signed in
        return {"language": "en"}

    @routes.delete(base + "/{namespace}/repositories", status_code=204, summary="Delete all repositories of an account")
    async def delete_repositories(namespace: Name, who: SignedIn) -> None:
        await deletion.delete_owned(await access.manage(who, namespace), by=Actor.account(who.account_id))

    @routes.get(base + "/{username}/settings", summary="A user's settings")
    async def read_settings(username: Name, who: SignedIn) -> dict[str, str]:
        return {"ContentCacheUUID": await users.content_cache(await user(who, username))}

    @routes.patch(base + "/{username}/settings", summary="Change a user's settings")
    async def change_settings(username: Name, form: UserSettings, who: SignedIn) -> dict[str, str]:
        account = await user(who, username)
        if form.content_cache is not None:
            await users.set_content_cache(account, form.content_cache, by=Actor.account(who.account_id))
        return {"ContentCacheUUID": await users.content_cache(account)}
