"""The command `lading`: one file per group of commands."""

import sys

import typer

from lading import __version__
from lading.cli import admin, certificate, repo, tag, user
from lading.cli.backup import backup, restore
from lading.cli.content import gc, verify
from lading.cli.login import login, logout
from lading.cli.serve import serve
from lading.cli.trust_host import trust_host
from lading.core.errors import LadingError, SettingsError

app = typer.Typer(
    name="lading",
    help="A trusted registry for container images.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
app.command()(serve)
app.command()(gc)
app.command()(verify)
app.command()(backup)
app.command()(restore)
app.command()(login)
app.command()(logout)
app.command()(trust_host)
app.add_typer(user.app, name="user")
app.add_typer(repo.app, name="repo")
app.add_typer(tag.app, name="tag")
app.add_typer(admin.app, name="admin")
app.add_typer(certificate.app, name="certificate")
app.add_typer(certificate.keys, name="keys")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"lading {__version__}")


def main() -> None:
    """Runs the command line. Exit status: 2 when settings or words are wrong, 1 for other trouble."""
    try:
        app()
    except SettingsError as error:
        typer.echo(f"lading: {error.message}", err=True)
        sys.exit(2)
    except LadingError as error:
        typer.echo(f"lading: {error.message}", err=True)
        sys.exit(1)
