"""`lading token`: access tokens, which sign in instead of a password."""

import string
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lading.cli.account import Yes
from lading.cli.enzi import check_name
from lading.cli.options import on_target
from lading.cli.output import Columns, Json, console, minute_of, print_list, shown, tell
from lading.cli.remote import Api, Target, run_api
from lading.cli.words import Allowed, Expires, docker_login, parse_allowed, parse_expiry
from lading.core.errors import SettingsError, UnknownError

app = typer.Typer(help="Access tokens, which sign in instead of a password.", no_args_is_help=True)

_TOKENS = "/api/v0/api_tokens"
_ID_LENGTH = 64
_SHOWN = 12
User = Annotated[
    str, typer.Option("--user", metavar="NAME", help="Another user's, or a robot's, instead of one's own.")
]
TokenId = Annotated[str, typer.Argument(metavar="ID", help="The token's id, or as much of its beginning as is unique.")]

_COLUMNS: Columns = {
    "id": lambda item: item["hashedToken"][:_SHOWN],
    "label": lambda item: item["tokenLabel"],
    "active": lambda item: "yes" if item["isActive"] else "no",
    "narrowed": lambda item: "yes" if item["isNarrowed"] else "",
    "made (UTC)": lambda item: minute_of(item["createdAt"]),
    "last used": lambda item: minute_of(item["lastUsed"]),
    "expires": lambda item: minute_of(item["expiresAt"]),
}


@app.command()
@on_target
def create(
    target: Target,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires: Expires = "",
    allow: Allowed = None,
    user: User = "",
    as_json: Json = False,
) -> None:
    """Make an access token, whose secret is shown this once. It may what its user may; with --allow no more than that."""
    form: dict[str, Any] = {"tokenLabel": label, "expiresAt": parse_expiry(expires, datetime.now(UTC))}
    if allow:
        form["repositories"] = parse_allowed(allow)
    query = _whose(user)

    async def work(api: Api) -> tuple[dict[str, Any], str, str]:
        return await api.ask("POST", _TOKENS, form, **query), api.host, user or api.username

    made, host, name = run_api(target, work)
    short = made["hashedToken"][:_SHOWN]
    tell(made, f"made the access token {short}; its secret is shown this once:", as_json=as_json)
    if not as_json:
        typer.echo(f"\n  {made['token']}\n")
        console.print(shown(f"next: {docker_login(host if target.data is None else 'HOST:PORT', name or 'NAME')}"))


@app.command("list")
@on_target
def list_tokens(
    target: Target,
    user: User = "",
    everyones: Annotated[bool, typer.Option("--all", help="Everyone's; for administrators.")] = False,
    as_json: Json = False,
) -> None:
    """List access tokens: one's own, unless said otherwise."""
    query = _whose(user)

    async def work(api: Api) -> list[Any]:
        # Administrators who name nobody are told of everyone's.
        whose = query if everyones else query or _whose(api.username)
        return [item async for item in api.iter_pages(_TOKENS, **whose)]

    print_list(run_api(target, work), _COLUMNS, as_json=as_json)


@app.command()
@on_target
def disable(target: Target, token_id: TokenId, user: User = "", as_json: Json = False) -> None:
    """Let an access token sign in no more, until `lading token enable`."""
    changed = _set_active(target, token_id, user, is_active=False)
    short = changed["hashedToken"][:_SHOWN]
    then = f"lading token enable {short}, or lading token revoke {short}"
    tell(changed, f"the access token {short} signs in no more", then=then, as_json=as_json)


@app.command()
@on_target
def enable(target: Target, token_id: TokenId, user: User = "", as_json: Json = False) -> None:
    """Let an access token sign in again."""
    changed = _set_active(target, token_id, user, is_active=True)
    tell(changed, f"the access token {changed['hashedToken'][:_SHOWN]} signs in again", as_json=as_json)


@app.command()
@on_target
def revoke(target: Target, token_id: TokenId, user: User = "", yes: Yes = False) -> None:
    """Delete an access token: it never signs in again, nor do those who signed in by it."""
    prefix, query = _check_id(token_id), _whose(user)

    async def work(api: Api) -> str:
        found = await _find(api, prefix, query)
        what = str(found["hashedToken"])[:_SHOWN] + (f" ({found['tokenLabel']})" if found["tokenLabel"] else "")
        if not yes:
            typer.confirm(f"Revoke the access token {shown(what)}?", abort=True)
        await api.ask("DELETE", f"{_TOKENS}/{found['hashedToken']}")
        return what

    tell(None, f"revoked the access token {run_api(target, work)}", as_json=False)


def _set_active(target: Target, token_id: str, user: str, *, is_active: bool) -> Any:
    prefix, query = _check_id(token_id), _whose(user)

    async def work(api: Api) -> Any:
        found = await _find(api, prefix, query)
        return await api.ask("PATCH", f"{_TOKENS}/{found['hashedToken']}", {"isActive": is_active})

    return run_api(target, work)


async def _find(api: Api, prefix: str, query: dict[str, Any]) -> Any:
    """The access token whose id begins so. Errors: SettingsError when that is not just one; UnknownError."""
    if len(prefix) == _ID_LENGTH:
        return await api.ask("GET", f"{_TOKENS}/{prefix}")
    # They come in order of their ids: what begins so is the first from there on, and the next one tells whether it is alone.
    two = await api.ask("GET", _TOKENS, pageStart=prefix, pageSize=2, **query)
    found = [item for item in two if item["hashedToken"].startswith(prefix)]
    if not found:
        raise UnknownError(f"there is no access token whose id begins with {prefix}: lading token list")
    if len(found) > 1:
        raise SettingsError(f"more than one access token's id begins with {prefix}: give more of it")
    return found[0]


def _check_id(text: str) -> str:
    if not 0 < len(text) <= _ID_LENGTH or set(text) - set(string.hexdigits.lower()):
        raise SettingsError(f"{text[:_ID_LENGTH]!r} is no access token's id: want what `lading token list` shows")
    return text


def _whose(user: str) -> dict[str, Any]:
    return {"username": check_name(user)} if user else {}
