"""`lading user`: making, listing and changing users."""

import json
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from lading.cli.login import PasswordStdin, read_password
from lading.cli.output import Json, console
from lading.cli.remote import Api, Authority, LocalData, Target, Url, Username, run_api

app = typer.Typer(help="Users of the registry.", no_args_is_help=True)

_ACCOUNTS = "/enzi/v0/accounts"
_PAGE = 1000
Name = Annotated[str, typer.Argument(help="The user's name.")]


@app.command()
def create(
    name: Name,
    full_name: Annotated[str, typer.Option(help="The person's name.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="May administer the registry.")] = False,
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
    url: Url = None,
    ca: Authority = None,
    username: Username = None,
    data: LocalData = None,
) -> None:
    """Make a user, who owns the namespace of that name."""
    password = read_password(stdin=password_stdin, confirm=True, prompt=f"Password of {name}")
    form = {"name": name, "fullName": full_name, "isAdmin": admin, "password": password}
    made = run_api(Target(url, ca, username, data), lambda api: api.ask("POST", _ACCOUNTS, form))
    _tell(made, f"made the user [bold]{name}[/bold]", as_json=as_json)


@app.command("list")
def list_users(
    as_json: Json = False, url: Url = None, ca: Authority = None, username: Username = None, data: LocalData = None
) -> None:
    """List the users."""

    async def work(api: Api) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        start = ""
        while True:
            page = await api.ask("GET", _ACCOUNTS, filter="users", limit=_PAGE, start=start)
            found += page["accounts"]
            start = page["nextPageStart"]
            if not start:
                return found

    found = run_api(Target(url, ca, username, data), work)
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("name", "full name", "administrator", "active", box=box.SIMPLE)
    for item in found:
        words = ("yes" if item["isAdmin"] else "", "yes" if item["isActive"] else "no")
        table.add_row(item["name"], item["fullName"], *words)
    console.print(table)


@app.command()
def set_password(
    name: Name,
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
    url: Url = None,
    ca: Authority = None,
    username: Username = None,
    data: LocalData = None,
) -> None:
    """Set a user's password. All that was signed in by the old one is signed out."""

    async def work(api: Api) -> Any:
        form = {"newPassword": read_password(stdin=password_stdin, confirm=True, prompt=f"New password of {name}")}
        if api.username == name:
            form["oldPassword"] = read_password(stdin=password_stdin, prompt="Your password until now")
        return await api.ask("POST", f"{_ACCOUNTS}/{name}/changePassword", form)

    _tell(run_api(Target(url, ca, username, data), work), f"[bold]{name}[/bold] has a new password", as_json=as_json)


@app.command()
def disable(
    name: Name,
    as_json: Json = False,
    url: Url = None,
    ca: Authority = None,
    username: Username = None,
    data: LocalData = None,
) -> None:
    """Shut a user out, at once and until `lading user enable`."""
    _set_active(Target(url, ca, username, data), name, is_active=False, as_json=as_json)


@app.command()
def enable(
    name: Name,
    as_json: Json = False,
    url: Url = None,
    ca: Authority = None,
    username: Username = None,
    data: LocalData = None,
) -> None:
    """Let a user in again."""
    _set_active(Target(url, ca, username, data), name, is_active=True, as_json=as_json)


def _set_active(target: Target, name: str, *, is_active: bool, as_json: bool) -> None:
    changed = run_api(target, lambda api: api.ask("PATCH", f"{_ACCOUNTS}/{name}", {"isActive": is_active}))
    word = "can sign in again" if is_active else "is shut out"
    _tell(changed, f"[bold]{name}[/bold] {word}", as_json=as_json)


def _tell(document: Any, sentence: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document))
    else:
        console.print(sentence)
