"""`lading ldap`: accounts from LDAP or Active Directory: how it is asked, trying it, and bringing accounts up to it."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from lading.cli.enzi import TeamName, account_path
from lading.cli.job import follow_job, print_log
from lading.cli.login import PasswordStdin, read_password
from lading.cli.options import on_target
from lading.cli.org import Organization
from lading.cli.output import Json, print_facts, tell
from lading.cli.remote import Api, RemoteError, Target, run_api
from lading.cli.team import Team
from lading.core.errors import SettingsError

app = typer.Typer(help="Accounts from LDAP or Active Directory; for administrators.", no_args_is_help=True)

_BACKEND = "/enzi/v0/config/auth"
_SETTINGS = f"{_BACKEND}/ldap"
_JOBS = "/api/v0/jobs"
_SYNC = "ldap-sync"  # the action's name. Source: DTR reference 1.6
_LARGEST = 4 * 1024 * 1024
_Document = dict[str, Any]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The settings, JSON; - for standard input.")]
Group = Annotated[str, typer.Option(metavar="DN", help="The group.")]
Attribute = Annotated[str, typer.Option("--attribute", help="The group's attribute that holds its members' DNs.")]
Off = Annotated[bool, typer.Option("--off", help="No group says so any more.")]


@app.command()
@on_target
def show(target: Target, as_json: Json = False) -> None:
    """Show whether LDAP is used, and how it is asked. Passwords are never shown."""

    async def work(api: Api) -> _Document:
        return {**await api.ask("GET", _BACKEND), "settings": await api.ask("GET", _SETTINGS)}

    found = run_api(target, work)
    used = "yes" if found["backend"] == "ldap" else "no; lading ldap enable"
    facts = {key: _fact(value) for key, value in found["settings"].items() if value not in ("", False, None, [])}
    print_facts(found, {"used": used, **facts}, as_json=as_json)


def _fact(value: object) -> str:
    return value.splitlines()[0] if isinstance(value, str) else json.dumps(value)


@app.command("set")
@on_target
def set_settings(target: Target, file: File, as_json: Json = False) -> None:
    """Say how LDAP is asked: all of the settings. A password that is left out stays, while its server and reader do."""
    document = _read(file)
    put = run_api(target, lambda api: api.ask("PUT", _SETTINGS, document))
    tell(put, f"LDAP is asked at {put['serverURL']}", then="lading ldap try-login USER", as_json=as_json)


@app.command()
@on_target
def enable(target: Target, as_json: Json = False) -> None:
    """Let people sign in by LDAP, too, and bring accounts up to it as its schedule says."""
    put = run_api(target, lambda api: api.ask("PUT", _BACKEND, {"backend": "ldap"}))
    tell(put, "people sign in by LDAP, too", then="lading ldap sync-now", as_json=as_json)


@app.command()
@on_target
def disable(target: Target, as_json: Json = False) -> None:
    """Ask LDAP no more. Accounts that came from it stay, and can't sign in by its passwords."""
    put = run_api(target, lambda api: api.ask("PUT", _BACKEND, {"backend": "managed"}))
    tell(put, "LDAP is asked no more", as_json=as_json)


@app.command()
@on_target
def try_login(
    target: Target,
    user: Annotated[str, typer.Argument(help="A name as people sign in with it.")],
    no_password: Annotated[bool, typer.Option("--no-password", help="Only look for the name.")] = False,
    password_stdin: PasswordStdin = False,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Try these settings, JSON, instead of those that were set.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try a name and its password, and tell what LDAP says. Status 1 unless it would be let in. Nothing is changed."""
    form: _Document = {"username": user}
    if settings is not None:
        form["settings"] = _read(settings)
    if not no_password:
        form["password"] = read_password(stdin=password_stdin, prompt=f"Password of {user}")
    found = run_api(target, lambda api: api.ask("POST", f"{_SETTINGS}/tryLogin", form))
    facts = {key: _fact(value) for key, value in found.items() if value not in ("", [])}
    print_facts(found, facts, as_json=as_json)
    if not (found["found"] and found["isActive"] and found.get("passwordIsRight", no_password)):
        raise typer.Exit(1)


@app.command()
@on_target
def sync_now(target: Target, as_json: Json = False) -> None:
    """Bring accounts, teams and owners up to LDAP now, and tell of each that changed. Status 1 unless it is done."""

    async def work(api: Api) -> _Document:
        job = await api.ask("POST", _JOBS, {"action": _SYNC})
        with _progress() as bar:
            return await follow_job(api, job["id"], quietly=as_json, look=lambda seen: _move(bar, seen))

    job = run_api(target, work)
    tell(job, f"the sync is {job['status']}", then=f"lading job show {job['id']}", as_json=as_json)
    if job["status"] != "done":
        raise typer.Exit(1)


@app.command()
@on_target
def log(target: Target) -> None:
    """Print what the newest sync did."""

    async def work(api: Api) -> None:
        jobs = (await api.ask("GET", _JOBS, action=_SYNC, limit=1))["jobs"]
        if not jobs:
            raise RemoteError("no sync has run yet: lading ldap sync-now")
        await print_log(api, jobs[0]["id"], 0)

    run_api(target, work)


@app.command()
@on_target
def team(
    target: Target,
    name: Team,
    group: Group = "",
    attribute: Attribute = "member",
    off: Off = False,
    as_json: Json = False,
) -> None:
    """Let a group in LDAP say who is in a team; without options tell which one does."""
    path = f"{TeamName.parse(name).path}/memberSyncConfig"
    _follow_group(target, name, path, _options(group, attribute, off=off), as_json=as_json)


@app.command()
@on_target
def owners(
    target: Target,
    name: Organization,
    group: Group = "",
    attribute: Attribute = "member",
    off: Off = False,
    as_json: Json = False,
) -> None:
    """Let a group in LDAP say who owns an organization; without options tell which one does."""
    path = f"{account_path(name)}/adminMemberSyncConfig"
    _follow_group(target, f"the owners of {name}", path, _options(group, attribute, off=off), as_json=as_json)


def _options(group: str, attribute: str, *, off: bool) -> _Document | None:
    if off and group:
        raise SettingsError("--off and --group exclude each other")
    if group:
        return {"enableSync": True, "selectGroupMembers": True, "groupDN": group, "groupMemberAttr": attribute}
    return {"enableSync": False} if off else None


def _follow_group(target: Target, who: str, path: str, options: _Document | None, *, as_json: bool) -> None:
    if options is None:
        found = run_api(target, lambda api: api.ask("GET", path))
    else:
        found = run_api(target, lambda api: api.ask("PUT", path, options))
    where = (
        found["groupDN"] if found["selectGroupMembers"] else f"{found['searchFilter']} below {found['searchBaseDN']}"
    )
    sentence = f"{who}: as {where} says" if found["enableSync"] else f"{who}: as set here"
    tell(found, sentence, then="lading ldap sync-now" if options is not None else "", as_json=as_json)


def _read(file: Path) -> _Document:
    """The JSON object in the file. Errors: SettingsError."""
    try:
        if str(file) == "-":
            text = sys.stdin.read(_LARGEST)
        else:
            with file.open(encoding="utf-8") as opened:
                text = opened.read(_LARGEST)
        document = json.loads(text)
    except (OSError, ValueError) as error:
        raise SettingsError(f"can't read the settings from {file}: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{file} holds no JSON object: lading ldap show --json prints one, as `settings`")
    return document


@contextmanager
def _progress() -> Iterator[Progress]:
    shown = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # The log goes to standard output, around the bar only when both are the same terminal.
    around = shown.is_terminal and sys.stdout.isatty()
    with Progress(
        *columns, console=shown, transient=True, disable=not shown.is_terminal, redirect_stdout=around
    ) as bar:
        bar.add_task("waiting", total=None)
        yield bar


def _move(bar: Progress, job: _Document) -> None:
    total = job["progressTotal"] or None
    bar.update(bar.task_ids[0], completed=job["progressDone"], total=total, description=job["status"])
