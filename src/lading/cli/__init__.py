"""The command `lading`: one file per group of commands, imported when it is called: the server takes a second to import."""

import gc
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import CompletionItem, TyperGroup  # type: ignore[attr-defined]  # its own place is private

from lading import __version__
from lading.core.errors import LadingError, SettingsError
from lading.core.names import NameInvalidError, TagInvalidError

COMMANDS = {
    "serve": "serve:serve",
    "gc": "content:gc",
    "verify": "content:verify",
    "backup": "backup:backup",
    "restore": "backup:restore",
    "login": "login:login",
    "logout": "login:logout",
    "account": "account:app",
    "user": "user:app",
    "org": "org:app",
    "team": "team:app",
    "grant": "grant:app",
    "role": "role:app",
    "robot": "robot:app",
    "token": "access_token:app",
    "ldap": "ldap:app",
    "repo": "repo:app",
    "tag": "tag:app",
    "events": "events:app",
    "job": "job:app",
    "cron": "cron:app",
    "admin": "admin:app",
    "bundle": "bundle:bundle",
    "trust-host": "trust_host:trust_host",
    "certificate": "certificate:app",
    "keys": "certificate:keys",
}
"""Each command: the file of this folder, and the function, or group of functions, in it."""


class _Commands(TyperGroup):
    """The commands above, beside those that Typer knows."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        where = COMMANDS.get(cmd_name)
        if where is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = where.partition(":")
        gc.disable()  # what is imported stays: looking for garbage in it takes a third of the time
        found: typer.Typer | Callable[..., None] = getattr(import_module(f"lading.cli.{module}"), attribute)
        gc.freeze()
        gc.enable()
        group = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
        if isinstance(found, typer.Typer):
            group.add_typer(found, name=cmd_name)
        else:
            group.command(cmd_name)(found)
        return typer.main.get_group(group).commands[cmd_name]

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        # By their names: what a command is for stands in its file, and to import all of them takes longer than one waits.
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name) for name in self.list_commands(ctx) if name.startswith(incomplete)]


app = typer.Typer(
    name="lading",
    cls=_Commands,
    help="A trusted registry for container images.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def lading() -> None:
    """A trusted registry for container images."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"lading {__version__}")


def main() -> None:
    """Runs the command line. Exit status: 2 when settings or words are wrong, 1 for other trouble."""
    try:
        app()
    except (SettingsError, NameInvalidError, TagInvalidError) as error:
        typer.echo(f"lading: {error.message}", err=True)
        sys.exit(2)
    except LadingError as error:
        typer.echo(f"lading: {error.message}", err=True)
        sys.exit(1)
