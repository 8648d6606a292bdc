"""`lading admin`: for those who are locked out; on the data folder, whoever runs the server."""

import secrets
from typing import Annotated

import typer

from lading.app.parts import Parts
from lading.cli.local import Config, Data, run_local
from lading.cli.login import PasswordStdin, read_password
from lading.events.log import SYSTEM

app = typer.Typer(help="For the locked-out.", no_args_is_help=True)


@app.callback()
def admin() -> None:
    """For the locked-out."""


@app.command()
def reset_password(
    name: Annotated[str, typer.Option("--user", help="Whose password.")] = "admin",
    password_stdin: PasswordStdin = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Set a new password, made up and shown once, and let the user in again."""
    password = read_password(stdin=True) if password_stdin else secrets.token_urlsafe(15)

    async def work(parts: Parts) -> None:
        await parts.users.set_password(name, password, by=SYSTEM)
        await parts.users.change(name, by=SYSTEM, is_active=True)

    run_local(data, config, work)
    typer.echo(f"{name} has a new password" if password_stdin else f"the new password of {name}: {password}")
