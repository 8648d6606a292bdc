"""Access tokens in `/api/v0`, accounts in `/enzi/v0`. Source: DTR reference 1.2, 1.3 and 1.6.

What is not the caller's does not exist for him: the same answer as for what nobody has.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from lading.access import Namespace, Permission, Principal, System, decide
from lading.accounts.access_tokens import AccessTokens
from lading.accounts.accounts import AccessToken, Account
from lading.accounts.errors import (
    AccountUnknownError,
    PasswordMissingError,
    TokenUnknownError,
    UserUnknownError,
)
from lading.accounts.sign_in import SignIn
from lading.accounts.users import Users
from lading.core.clock import rfc3339
from lading.core.errors import DeniedError, InvalidError
from lading.events.log import Actor
from lading.web.api import SignedIn
from lading.web.asked_page import AskedPage, tell_page
from lading.web.paging import PAGE_LIMIT, Paging

_TokenId = Annotated[str, Path(max_length=64)]
_Name = Annotated[str, Path(max_length=100)]
_FILTER = Literal["all", "users", "orgs", "admins", "non-admins", "active-users", "inactive-users"]


class _Form(BaseModel):
    # Server-owned fields are refused, not ignored: nobody shall think that he set one (CVE-2019-16097).
    model_config = ConfigDict(extra="forbid")


class CreateToken(_Form):
    """DTR's form:CreateAPIToken."""

    label: str = Field("", alias="tokenLabel", max_length=255)


class UpdateToken(_Form):
    """DTR's form:UpdateAPIToken."""

    label: str | None = Field(None, alias="tokenLabel", max_length=255)
    is_active: bool | None = Field(None, alias="isActive", strict=True)


class CreateAccount(_Form):
    """DTR's CreateAccount."""

    name: str = Field(max_length=100)
    full_name: str = Field("", alias="fullName", max_length=255)
    is_organization: bool = Field(default=False, alias="isOrg", strict=True)
    is_active: bool = Field(default=True, alias="isActive", strict=True)
    is_admin: bool = Field(default=False, alias="isAdmin", strict=True)
    password: SecretStr | None = Field(None, max_length=1024)


class UpdateAccount(_Form):
    """DTR's form of PATCH /accounts/{name}."""

    full_name: str | None = Field(None, alias="fullName", max_length=255)
    is_active: bool | None = Field(None, alias="isActive", strict=True)
    is_admin: bool | None = Field(None, alias="isAdmin", strict=True)


class ChangePassword(_Form):
    """DTR's form of changePassword; the old one is needed for oneself."""

    old: SecretStr = Field(SecretStr(""), alias="oldPassword", max_length=1024)
    new: SecretStr = Field(alias="newPassword", max_length=1024)


def router(users: Users, tokens: AccessTokens, sign_in: SignIn) -> APIRouter:
    """The endpoints of accounts and access tokens."""
    routes = APIRouter()
    _add_tokens(routes, users, tokens)
    _add_accounts(routes, users, sign_in)
    return routes


def _may_manage(who: Principal, name: str) -> bool:
    return bool(decide(who, Permission.MANAGE_ACCOUNT, Namespace(name)))


def _is_admin(who: Principal) -> bool:
    return bool(decide(who, Permission.ADMINISTER, System()))


async def _user(users: Users, who: Principal, name: str) -> Account:
    """The user, when the caller may manage it. Errors: UserUnknownError."""
    if not _may_manage(who, name):
        raise UserUnknownError(name)
    try:
        return await users.get(name)
    except AccountUnknownError as error:
        raise UserUnknownError(name) from error


async def _token(tokens: AccessTokens, who: Principal, token_id: str) -> AccessToken:
    """The token, when it is the caller's, or he is an administrator. Errors: TokenUnknownError."""
    found = await tokens.get(token_id)
    if found.account_id != who.account_id and not _is_admin(who):
        raise TokenUnknownError
    return found


def _add_tokens(routes: APIRouter, users: Users, tokens: AccessTokens) -> None:  # noqa: C901 — a list of small doors
    base = "/api/v0/api_tokens"

    @routes.get(base, summary="Access tokens: one's own, or all for administrators", tags=["access tokens"])
    async def list_tokens(
        who: SignedIn, paging: AskedPage, response: Response, username: Annotated[str, Query(max_length=100)] = ""
    ) -> list[dict[str, Any]]:
        whose = who.account_id
        if username:
            whose = (await _user(users, who, username)).id
        elif _is_admin(who):
            whose = None
        return [token_json(item) for item in tell_page(await tokens.list(whose, paging), response)]

    @routes.post(base, summary="Make an access token; its secret is shown here only", tags=["access tokens"])
    async def create_token(
        form: CreateToken, who: SignedIn, request: Request, username: Annotated[str, Query(max_length=100)] = ""
    ) -> dict[str, Any]:
        owner = await _user(users, who, username or who.name)
        agent = request.headers.get("user-agent", "")
        made, secret = await tokens.create(owner.id, form.label, by=Actor.account(who.account_id), creator_ua=agent)
        return {**token_json(made), "token": secret}

    @routes.delete(base, summary="Delete many access tokens", tags=["access tokens"])
    async def delete_tokens(
        who: SignedIn,
        username: Annotated[str, Query(max_length=100)] = "",
        usedbefore: Annotated[str, Query(max_length=64)] = "",
        generatedby: Annotated[str, Query(max_length=16)] = "auto",
    ) -> None:
        whose = who.account_id
        if username:
            whose = (await _user(users, who, username)).id
        elif _is_admin(who):
            whose = None
        before = _moment(usedbefore)
        by = Actor.account(who.account_id)
        await tokens.delete_many(whose, used_before=before, generated_by=generatedby, by=by)

    @routes.get(base + "/{hashedtoken}", summary="One access token", tags=["access tokens"])
    async def read_token(hashedtoken: _TokenId, who: SignedIn) -> dict[str, Any]:
        return token_json(await _token(tokens, who, hashedtoken))

    @routes.patch(base + "/{hashedtoken}", summary="Rename, switch off or on", tags=["access tokens"])
    async def change_token(hashedtoken: _TokenId, form: UpdateToken, who: SignedIn) -> dict[str, Any]:
        known, by = await _token(tokens, who, hashedtoken), Actor.account(who.account_id)
        return token_json(await tokens.change(known, by=by, label=form.label, is_active=form.is_active))

    @routes.delete(base + "/{hashedtoken}", summary="Revoke", tags=["access tokens"])
    async def delete_token(hashedtoken: _TokenId, who: SignedIn) -> None:
        await tokens.delete(await _token(tokens, who, hashedtoken), by=Actor.account(who.account_id))


def _add_accounts(routes: APIRouter, users: Users, sign_in: SignIn) -> None:  # noqa: C901 — a list of small doors
    base = "/enzi/v0/accounts"

    async def visible(who: Principal, name: str) -> Account:
        if not _may_manage(who, name):
            raise AccountUnknownError(name)
        return await users.get(name)

    @routes.get(base, summary="Accounts", tags=["accounts"])
    async def list_accounts(
        who: SignedIn,
        response: Response,
        kind: Annotated[_FILTER, Query(alias="filter")] = "all",
        start: Annotated[str, Query(max_length=100)] = "",
        limit: Annotated[int, Query(ge=1)] = 10,
        contains: Annotated[str, Query(max_length=100)] = "",
    ) -> dict[str, Any]:
        _check_admin(who)
        page = await users.list(Paging(min(limit, PAGE_LIMIT), start, count=True), kind=kind, contains=contains)
        usual, organizations = await users.counts()
        found = [account_json(item) for item in tell_page(page, response)]
        counts = {"usersCount": usual, "orgsCount": organizations, "resourceCount": page.total}
        return {"accounts": found, **counts, "nextPageStart": page.next_start or ""}

    @routes.post(base, status_code=201, summary="Make a user", tags=["accounts"])
    async def create_account(form: CreateAccount, who: SignedIn) -> dict[str, Any]:
        _check_admin(who)
        if form.is_organization:
            raise InvalidError("organizations can't be made here yet")
        if form.password is None:
            raise PasswordMissingError
        made = await users.create(
            form.name,
            form.password.get_secret_value(),
            by=Actor.account(who.account_id),
            full_name=form.full_name,
            is_admin=form.is_admin,
            is_active=form.is_active,
        )
        return account_json(made)

    @routes.get(base + "/{name}", summary="One account", tags=["accounts"])
    async def read_account(name: _Name, who: SignedIn) -> dict[str, Any]:
        return account_json(await visible(who, name))

    @routes.patch(base + "/{name}", summary="Change an account", tags=["accounts"])
    async def change_account(name: _Name, form: UpdateAccount, who: SignedIn) -> dict[str, Any]:
        await visible(who, name)
        if form.is_active is not None or form.is_admin is not None:
            _check_admin(who)
        changed = await users.change(
            name,
            by=Actor.account(who.account_id),
            full_name=form.full_name,
            is_admin=form.is_admin,
            is_active=form.is_active,
        )
        return account_json(changed)

    @routes.post(base + "/{name}/changePassword", summary="Set a password", tags=["accounts"])
    async def change_password(name: _Name, form: ChangePassword, who: SignedIn, request: Request) -> dict[str, Any]:
        account = await visible(who, name)
        if name == who.name:
            # A session, or a token, that was left lying about must not be enough to take the account over.
            address = request.client.host if request.client is not None else ""
            await sign_in.check_password(name, form.old.get_secret_value(), address=address)
        await users.set_password(name, form.new.get_secret_value(), by=Actor.account(who.account_id))
        return account_json(account)


def _check_admin(who: Principal) -> None:
    if not _is_admin(who):
        raise DeniedError("only an administrator may")


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidError("usedbefore is a moment as RFC 3339 writes it, such as 2026-01-31T00:00:00Z") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def account_json(item: Account) -> dict[str, Any]:
    """DTR's Account."""
    return {
        "name": item.name,
        "id": item.id,
        "fullName": item.full_name,
        "isOrg": item.is_organization,
        "isActive": item.is_active,
        "isAdmin": item.is_admin,
        "isImported": False,
    }


def token_json(item: AccessToken) -> dict[str, Any]:
    """DTR's APIToken."""
    return {
        "hashedToken": item.id,
        "tokenLabel": item.label,
        "isActive": item.is_active,
        "lastUsed": rfc3339(item.last_used_at),
        "createdAt": rfc3339(item.created_at),
        "generatedBy": item.generated_by,
        "creatorUa": item.creator_ua,
    }
