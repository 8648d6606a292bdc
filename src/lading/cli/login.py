"""`lading login` and `lading logout`: an access token of one's own, kept for the other commands."""

import contextlib
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from lading.cli.output import console
from lading.cli.remote import (
    Api,
    Authority,
    RemoteError,
    Target,
    keep_logins,
    kept_logins,
    run_api,
    server_url,
)
from lading.cli.remote import trust as check_authority
from lading.core.errors import SettingsError

PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def read_password(*, stdin: bool, confirm: bool = False, prompt: str = "Password") -> str:
    """A password, from standard input's first line or asked for; never from the command line."""
    if not stdin:
        asked: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
        return asked
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise SettingsError("--password-stdin: standard input is empty")
    return password


def login(
    host: Annotated[str, typer.Argument(help="HOST:PORT of the server.")],
    username: Annotated[str | None, typer.Option("--username", "-u", help="The user's name.")] = None,
    password_stdin: PasswordStdin = False,
    ca: Authority = None,
) -> None:
    """Sign in: make an access token and keep it in ~/.config/lading/config.json."""
    url = server_url(host)
    authority = None if ca is None else ca.expanduser().absolute()
    check_authority(authority, url)
    name = username or typer.prompt("Username", err=True)
    password = read_password(stdin=password_stdin)
    made = run_api(
        Target(url=url, authority=authority, username=name),
        lambda api: api.ask("POST", "/api/v0/api_tokens", {"tokenLabel": f"lading login on {socket.gethostname()}"}),
        password=password,
    )
    kept = kept_logins()
    entry = {"username": name, "token": made["token"], "token_id": made["hashedToken"]}
    if authority is not None:
        entry["ca"] = str(authority)
    keep_logins({**kept, "current": url, "servers": {**kept.get("servers", {}), url: entry}})
    console.print(f"signed in to {url} as [bold]{name}[/bold]")


def logout(
    host: Annotated[str | None, typer.Argument(help="HOST:PORT; the current one when not given.")] = None,
) -> None:
    """Revoke the access token that `lading login` made, and forget it."""
    kept = kept_logins()
    url = server_url(host or kept.get("current") or "")
    entry = kept.get("servers", {}).pop(url, None)
    if entry is None:
        raise SettingsError(f"nobody is signed in to {url}")

    async def revoke(api: Api) -> None:
        await api.ask("DELETE", f"/api/v0/api_tokens/{entry['token_id']}")

    authority = Path(entry["ca"]) if entry.get("ca") else None
    with contextlib.suppress(RemoteError):  # forgotten here all the same
        run_api(Target(url=url, authority=authority), revoke, token=entry["token"])
    if kept.get("current") == url:
        kept["current"] = next(iter(kept.get("servers", {})), None)
    keep_logins(kept)
    console.print(f"signed out of {url}")
