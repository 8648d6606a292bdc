"""Client bundles in `/api/clientbundle`, public keys in `/enzi/v0`. Source: DTR reference 1.6 and part 4."""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from lading.access import Principal
from lading.accounts.accounts import Account
from lading.accounts.client_bundles import ClientBundles
from lading.accounts.errors import AccountUnknownError, NotAllowedError
from lading.accounts.forms import Form, Name
from lading.accounts.public_key_store import KeyCertificate, RegisteredKey
from lading.accounts.public_keys import PublicKeys
from lading.core.errors import UnsupportedError
from lading.events.log import Actor
from lading.keys.public_keys import PEM_LIMIT, Certificate, PublicKey
from lading.web.api import SignedIn
from lading.web.asked_page import tell_page
from lading.web.paging import PAGE_LIMIT, Paging

_KeyId = Annotated[str, Path(max_length=64)]
_CERTIFICATES_LIMIT = 10
_LABEL_LIMIT = 255


class Accounts(Protocol):
    """Which accounts callers may know of and change."""

    async def find(self, name: str) -> Account | None:
        """The account of that name or id."""
        ...

    async def manage(self, who: Principal, name: str) -> Account:
        """The account, which the caller may change. Errors: AccountUnknownError, NotAllowedError."""
        ...


class CertificateForm(Form):
    """A certificate of a key."""

    label: str = Field("", max_length=_LABEL_LIMIT)
    cert: str = Field(max_length=PEM_LIMIT)


class CreatePublicKey(Form):
    """DTR's form of POST on publicKeys; `publicKey` may be a certificate, whose key is taken."""

    public_key: str = Field(alias="publicKey", max_length=PEM_LIMIT)
    label: str = Field("", max_length=_LABEL_LIMIT)
    certificates: list[CertificateForm] = Field([], max_length=_CERTIFICATES_LIMIT)


class UpdatePublicKey(Form):
    """DTR's form of PATCH on a public key."""

    label: str = Field(max_length=_LABEL_LIMIT)


def asked_keys_page(
    start: Annotated[str, Query(max_length=64, description="nextPageStart of the last")] = "",
    limit: Annotated[int, Query(ge=1, description="entries of a page")] = 10,
) -> Paging:
    return Paging(min(limit, PAGE_LIMIT), start, count=False)


def router(accounts: Accounts, keys: PublicKeys, bundles: ClientBundles) -> APIRouter:
    """The endpoints of client bundles and public keys."""
    routes = APIRouter(tags=["public keys"])
    _add_bundles(routes, accounts, bundles)
    _add_keys(routes, accounts, keys)
    return routes


def _add_bundles(routes: APIRouter, accounts: Accounts, bundles: ClientBundles) -> None:
    @routes.get(
        "/api/clientbundle",
        summary="A new key and certificate of one's own, zipped; administrators may name another's",
        response_class=Response,
        responses={200: {"content": {"application/zip": {}}, "description": "The bundle"}},
    )
    async def client_bundle(
        who: SignedIn,
        request: Request,
        username: Annotated[str, Query(max_length=140)] = "",
        label: Annotated[str, Query(max_length=_LABEL_LIMIT)] = "",
    ) -> Response:
        if request.state.method != "GET":
            raise UnsupportedError("a bundle is made anew each time it is asked for, so HEAD is not possible here")
        account = await accounts.manage(who, username or who.name)
        if account.is_organization:
            raise UnsupportedError("organizations sign in nowhere, so they have no client bundles")
        made = await bundles.make(account, label=label, by=Actor.account(who.account_id))
        headers = {"content-disposition": f'attachment; filename="{made.filename}"'}
        return Response(made.zipped, headers=headers, media_type="application/zip")


def _add_keys(routes: APIRouter, accounts: Accounts, keys: PublicKeys) -> None:
    base = "/enzi/v0/accounts/{name}/publicKeys"

    async def read(name: str) -> Account:
        account = await accounts.find(name)
        if account is None:
            raise AccountUnknownError(name)
        return account

    async def manage(who: Principal, name: str) -> Account:
        # Who may read the keys sees the account, so it is no secret that he may not change them.
        account = await read(name)
        try:
            return await accounts.manage(who, name)
        except AccountUnknownError as error:
            raise NotAllowedError(f"change {account.name}") from error

    @routes.get(base, summary="An account's public keys")
    async def list_keys(
        name: Name,
        who: SignedIn,  # noqa: ARG001 — any user may
        paging: Annotated[Paging, Depends(asked_keys_page)],
        response: Response,
    ) -> dict[str, Any]:
        page = await keys.list(await read(name), paging)
        found = [key_json(item) for item in tell_page(page, response)]
        return {"accountPublicKeys": found, "nextPageStart": page.next_start or ""}

    @routes.post(base, status_code=201, summary="Register a public key")
    async def create_key(name: Name, form: CreatePublicKey, who: SignedIn) -> dict[str, Any]:
        account, key = await manage(who, name), PublicKey.parse(form.public_key)
        given = [KeyCertificate(item.label, item.cert) for item in form.certificates]
        if "BEGIN CERTIFICATE" in form.public_key and not given:
            given = [KeyCertificate(form.label, Certificate.parse(form.public_key).pem)]
        made = await keys.add(account, key, given, label=form.label, by=Actor.account(who.account_id))
        return key_json(made)

    @routes.patch(base + "/{key}", summary="Rename a public key")
    async def change_key(name: Name, key: _KeyId, form: UpdatePublicKey, who: SignedIn) -> dict[str, Any]:
        account = await manage(who, name)
        return key_json(await keys.relabel(account, key, form.label, by=Actor.account(who.account_id)))

    @routes.delete(base + "/{key}", status_code=204, summary="Revoke a public key and all certificates of it")
    async def delete_key(name: Name, key: _KeyId, who: SignedIn) -> None:
        await keys.delete(await manage(who, name), key, by=Actor.account(who.account_id))


def key_json(item: RegisteredKey) -> dict[str, Any]:
    """DTR's AccountPublicKey."""
    return {
        "id": item.id,
        "accountID": item.account_id,
        "label": item.label,
        "publicKey": item.pem,
        "certificates": [{"label": each.label, "cert": each.pem} for each in item.certificates],
    }
