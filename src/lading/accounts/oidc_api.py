"""The OpenID providers in `/enzi/v0/config/auth/oidc`."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path

from lading.accounts.account_access import check_admin
from lading.accounts.directories.oidc_settings import OidcSettings
from lading.accounts.oidc_providers import OidcProviders
from lading.events.log import Actor
from lading.web.api import SignedIn

_BASE = "/enzi/v0/config/auth/oidc"
_Provider = Annotated[str, Path(max_length=32)]
_Document = Annotated[dict[str, Any], Body(max_length=64)]


def provider_json(name: str, settings: OidcSettings) -> dict[str, Any]:
    """A provider, without its secret; `redirectPath` is where it sends browsers back to, on this server."""
    has_secret = bool(settings.client_secret.get_secret_value())
    shown = {"name": name, **settings.shown(), "hasClientSecret": has_secret}
    return {**shown, "redirectPath": f"/oidc/{name}/callback"}


def router(providers: OidcProviders) -> APIRouter:
    """The endpoints of OpenID providers."""
    routes = APIRouter(tags=["directories"])

    @routes.get(_BASE, summary="The OpenID providers that one may sign in by")
    async def list_providers(who: SignedIn) -> dict[str, Any]:
        check_admin(who)
        found = await providers.list(fresh=True)
        return {"providers": [provider_json(name, one.settings) for name, one in found.items()]}

    @routes.get(_BASE + "/{name}", summary="One OpenID provider")
    async def read_provider(name: _Provider, who: SignedIn) -> dict[str, Any]:
        check_admin(who)
        return provider_json(name, (await providers.get(name, fresh=True)).settings)

    @routes.put(_BASE + "/{name}", summary="Say how an OpenID provider is asked")
    async def put_provider(name: _Provider, document: _Document, who: SignedIn) -> dict[str, Any]:
        check_admin(who)
        return provider_json(name, await providers.put(name, document, by=Actor.account(who.account_id)))

    @routes.delete(_BASE + "/{name}", status_code=204, summary="Let nobody sign in by an OpenID provider any more")
    async def delete_provider(name: _Provider, who: SignedIn) -> None:
        check_admin(who)
        await providers.delete(name, by=Actor.account(who.account_id))

    return routes
