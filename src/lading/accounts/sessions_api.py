"""The rules of sessions, and who one is: `/enzi/v0/config/sessions`, `/enzi/v0/id/`, `/basic_info`.

Source: DTR reference 1.2 (endpoints outside the published spec) and 1.6.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from lading.access import Principal
from lading.accounts.account_access import check_admin
from lading.accounts.accounts import Account
from lading.accounts.errors import SessionOverError
from lading.accounts.forms import Form, account_json
from lading.accounts.sessions import SessionRules, SessionSettings
from lading.accounts.users import Users
from lading.events.log import Actor
from lading.web.api import Caller, SignedIn


class PutSessions(Form):
    """DTR's form of the rules; what is absent stays."""

    lifetime: int | None = Field(None, alias="lifetimeMinutes", strict=True)
    renewal: int | None = Field(None, alias="renewalThresholdMinutes", strict=True)
    per_user: int | None = Field(None, alias="perUserLimit", strict=True)


def authn_method(request: Request) -> str:
    """How the caller proved who he is, in DTR's words."""
    return str(request.state.authn_method)


def rules_json(rules: SessionRules) -> dict[str, int]:
    """DTR's form of the rules."""
    return {
        "lifetimeMinutes": rules.lifetime_minutes,
        "renewalThresholdMinutes": rules.renewal_minutes,
        "perUserLimit": rules.per_user,
    }


def router(settings: SessionSettings, users: Users, version: str) -> APIRouter:
    """The endpoints of sessions that the REST door serves; the others are session_routes.SessionDoor's."""
    routes = APIRouter(tags=["sessions"])

    async def account_of(who: Principal) -> Account:
        account = await users.find(f"id:{who.account_id}")
        if account is None:
            raise SessionOverError
        return account

    @routes.get("/enzi/v0/config/sessions", summary="How long sessions live, and how many a user has")
    async def read_rules(who: SignedIn) -> dict[str, int]:
        check_admin(who)
        return rules_json(await settings.current())

    @routes.put("/enzi/v0/config/sessions", summary="Set how long sessions live, and how many a user has")
    async def put_rules(form: PutSessions, who: SignedIn) -> dict[str, int]:
        check_admin(who)
        known = await settings.current()
        rules = SessionRules(
            known.lifetime_minutes if form.lifetime is None else form.lifetime,
            known.renewal_minutes if form.renewal is None else form.renewal,
            known.per_user if form.per_user is None else form.per_user,
        )
        await settings.put(rules, by=Actor.account(who.account_id))
        return rules_json(rules)

    @routes.get("/enzi/v0/id/", summary="Who one is")
    @routes.get("/enzi/v0/id", include_in_schema=False)
    async def read_self(who: SignedIn) -> dict[str, Any]:
        return account_json(await account_of(who))

    @routes.get("/basic_info", summary="The version, who one is, and how one proved it")
    async def basic_info(who: Caller, method: Annotated[str, Depends(authn_method)]) -> dict[str, Any]:
        user = None if who.is_anonymous else account_json(await account_of(who))
        told = {"User": user, "IsAdmin": who.is_admin and who.is_active, "AuthnMethod": method}
        return {"CurrentVersion": version, **told}

    return routes
