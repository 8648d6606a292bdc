"""`lading user`: making, listing and changing users."""

from typing import Annotated, Any

import typer

from lading.cli.enzi import ACCOUNTS, account_path, list_all
from lading.cli.login import PasswordStdin, read_password
from lading.cli.options import on_target
from lading.cli.output import Columns, Json, print_list, tell
from lading.cli.remote import Api, Target, run_api
from lading.core.names import check_account_name

app = typer.Typer(help="Users of the registry.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user's name.")]

_COLUMNS: Columns = {
    "name": lambda item: item["name"],
    "full name": lambda item: item["fullName"],
    "administrator": lambda item: "yes" if item["isAdmin"] else "",
    "active": lambda item: "yes" if item["isActive"] else "no",
}


@app.command()
@on_target
def create(
    target: Target,
    name: Name,
    full_name: Annotated[str, typer.Option(help="The person's name.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="May administer the registry.")] = False,
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """Make a user, who owns the namespace of that name."""
    check_account_name(name)
    password = read_password(stdin=password_stdin, confirm=True, prompt=f"Password of {name}")
    form = {"name": name, "fullName": full_name, "isAdmin": admin, "password": password}
    made = run_api(target, lambda api: api.ask("POST", ACCOUNTS, form))
    tell(made, f"made the user {name}", then=f"lading org add-member ORG {name}", as_json=as_json)


@app.command("list")
@on_target
def list_users(target: Target, as_json: Json = False) -> None:
    """List the users."""
    found = run_api(target, lambda api: list_all(api, ACCOUNTS, "accounts", filter="users"))
    print_list(found, _COLUMNS, as_json=as_json)


@app.command()
@on_target
def set_password(
    target: Target,
    name: Name,
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """Set a user's password. All that was signed in by the old one is signed out."""
    path = f"{account_path(name)}/changePassword"

    async def work(api: Api) -> Any:
        form = {"newPassword": read_password(stdin=password_stdin, confirm=True, prompt=f"New password of {name}")}
        if api.username == name:
            form["oldPassword"] = read_password(stdin=password_stdin, prompt="Your password until now")
        return await api.ask("POST", path, form)

    tell(run_api(target, work), f"{name} has a new password", as_json=as_json)


@app.command()
@on_target
def disable(
    target: Target,
    name: Name,
    as_json: Json = False,
) -> None:
    """Shut a user out, at once and until `lading user enable`."""
    _set_active(target, name, is_active=False, as_json=as_json)


@app.command()
@on_target
def enable(
    target: Target,
    name: Name,
    as_json: Json = False,
) -> None:
    """Let a user in again."""
    _set_active(target, name, is_active=True, as_json=as_json)


def _set_active(target: Target, name: str, *, is_active: bool, as_json: bool) -> None:
    path = account_path(name)
    changed = run_api(target, lambda api: api.ask("PATCH", path, {"isActive": is_active}))
    tell(changed, f"{name} {'can sign in again' if is_active else 'is shut out'}", as_json=as_json)
