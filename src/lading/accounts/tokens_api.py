"""Access tokens in `/api/v0`. Source: DTR reference 1.2 and 1.3.

What is not the caller's does not exist for him: the same answer as for what nobody has.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from lading.access import Principal
from lading.accounts.access_tokens import AccessTokens
from lading.accounts.account_access import AccountAccess, is_admin
from lading.accounts.accounts import AccessToken, Account
from lading.accounts.errors import AccountUnknownError, NotAllowedError, TokenUnknownError, UserUnknownError
from lading.accounts.forms import CreateToken, Narrowing, TokenId, UpdateToken, token_json
from lading.accounts.narrowing import narrowing_line
from lading.core.errors import InvalidError
from lading.events.log import Actor
from lading.web.api import SignedIn
from lading.web.asked_page import AskedPage, tell_page

_Username = Annotated[str, Query(max_length=140)]


def moment(text: str | None, name: str) -> datetime | None:
    """The moment that `text` tells, None for none. Errors: InvalidError, which names the field."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidError(f"{name} is a moment as RFC 3339 writes it, such as 2026-01-31T00:00:00Z") from error
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def narrowing_text(wanted: Sequence[Narrowing] | None) -> str | None:
    """What the token is narrowed to, None when it is not. Errors: InvalidError."""
    if wanted is None:
        return None
    lines = [narrowing_line(one.repository, level=one.access_level, permissions=one.permissions) for one in wanted]
    return "\n".join(lines)


def router(access: AccountAccess, tokens: AccessTokens) -> APIRouter:  # noqa: C901 — a list of small doors
    """The endpoints of access tokens."""
    routes = APIRouter(prefix="/api/v0/api_tokens", tags=["access tokens"])

    async def whose(who: Principal, username: str) -> Account:
        try:
            return await access.manage(who, username or who.name)
        except (AccountUnknownError, NotAllowedError) as error:
            raise UserUnknownError(username) from error

    async def everyones(who: Principal, username: str) -> str | None:
        return None if not username and is_admin(who) else (await whose(who, username)).id

    async def the_token(who: Principal, token_id: str) -> AccessToken:
        found = await tokens.get(token_id)
        if not is_admin(who):
            try:
                await access.manage(who, f"id:{found.account_id}")
            except (AccountUnknownError, NotAllowedError) as error:
                raise TokenUnknownError from error
        return found

    @routes.get("", summary="Access tokens: one's own, or all for administrators")
    async def list_tokens(
        who: SignedIn, paging: AskedPage, response: Response, username: _Username = ""
    ) -> list[dict[str, Any]]:
        page = await tokens.list(await everyones(who, username), paging)
        return [token_json(item) for item in tell_page(page, response)]

    @routes.post("", summary="Make an access token; its secret is shown here only")
    async def create_token(
        form: CreateToken, who: SignedIn, request: Request, username: _Username = ""
    ) -> dict[str, Any]:
        owner = await whose(who, username)
        made, secret = await tokens.create(
            owner.id,
            form.label,
            by=Actor.account(who.account_id),
            creator_ua=request.headers.get("user-agent", ""),
            expires_at=moment(form.expires_at, "expiresAt"),
            narrowing=narrowing_text(form.repositories),
        )
        return {**token_json(made), "token": secret}

    @routes.delete("", summary="Delete many access tokens")
    async def delete_tokens(
        who: SignedIn,
        username: _Username = "",
        usedbefore: Annotated[str, Query(max_length=64)] = "",
        generatedby: Annotated[str, Query(max_length=16)] = "auto",
    ) -> None:
        before, by = moment(usedbefore, "usedbefore"), Actor.account(who.account_id)
        await tokens.delete_many(await everyones(who, username), used_before=before, generated_by=generatedby, by=by)

    @routes.get("/{hashedtoken}", summary="One access token")
    async def read_token(hashedtoken: TokenId, who: SignedIn) -> dict[str, Any]:
        return token_json(await the_token(who, hashedtoken))

    @routes.patch("/{hashedtoken}", summary="Rename, switch off or on")
    async def change_token(hashedtoken: TokenId, form: UpdateToken, who: SignedIn) -> dict[str, Any]:
        known, by = await the_token(who, hashedtoken), Actor.account(who.account_id)
        return token_json(await tokens.change(known, by=by, label=form.label, is_active=form.is_active))

    @routes.delete("/{hashedtoken}", summary="Revoke")
    async def delete_token(hashedtoken: TokenId, who: SignedIn) -> None:
        await tokens.delete(await the_token(who, hashedtoken), by=Actor.account(who.account_id))

    return routes
