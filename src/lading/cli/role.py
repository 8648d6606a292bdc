"""`lading role`: named sets of permissions, to be given by `lading grant give`."""

from typing import Annotated
from urllib.parse import quote

import typer

from lading.cli.account import Yes
from lading.cli.options import on_target
from lading.cli.output import Columns, Json, print_list, tell
from lading.cli.remote import Target, run_api
from lading.cli.words import PERMISSION_WORDS, check_permissions
from lading.core.errors import SettingsError

app = typer.Typer(help="Roles: what can be granted, and what it is made of.", no_args_is_help=True)

_ROLES = "/api/v0/roles"
_NAME_LIMIT = 64
Name = Annotated[str, typer.Argument(help="The role's name.")]

_COLUMNS: Columns = {
    "role": lambda item: item["name"],
    "description": lambda item: item["description"],
    "permissions": lambda item: " ".join(item["permissions"]),
}


def _permissions() -> list[str]:
    return list(PERMISSION_WORDS)


@app.command("list")
@on_target
def list_roles(target: Target, as_json: Json = False) -> None:
    """List the roles that can be given."""
    print_list(run_api(target, lambda api: api.ask("GET", _ROLES))["roles"], _COLUMNS, as_json=as_json)


@app.command()
@on_target
def define(
    target: Target,
    name: Name,
    permission: Annotated[
        list[str], typer.Option("--permission", "-p", help="May be given often.", autocompletion=_permissions)
    ],
    description: Annotated[str, typer.Option(help="One line on what it is for.")] = "",
    as_json: Json = False,
) -> None:
    """Define a role, or change it for all who hold it; for administrators."""
    form = {"description": description, "permissions": check_permissions(permission)}
    put = run_api(target, lambda api: api.ask("PUT", _path(name), form))
    then = f"lading grant give NAMESPACE/NAME {name} --to user:NAME"
    tell(put, f"the role {name} is {' '.join(put['permissions'])}", then=then, as_json=as_json)


@app.command()
@on_target
def delete(target: Target, name: Name, yes: Yes = False) -> None:
    """Delete a role that nobody holds; for administrators."""
    path = _path(name)
    if not yes:
        typer.confirm(f"Delete the role {name}?", abort=True)
    run_api(target, lambda api: api.ask("DELETE", path))
    tell(None, f"deleted the role {name}", as_json=False)


def _path(name: str) -> str:
    if not name.replace("-", "").isalnum() or len(name) > _NAME_LIMIT:
        raise SettingsError(f"{name[:_NAME_LIMIT]!r} can't be a role's name: want lower-case letters, digits and '-'")
    return f"{_ROLES}/{quote(name, safe='')}"
