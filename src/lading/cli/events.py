"""`lading events`: looking at the audit log, and taking it elsewhere."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from lading.cli.options import on_target
from lading.cli.output import Json, print_table, shown
from lading.cli.remote import Api, Target, repository_path, run_api
from lading.core.durations import parse_duration
from lading.core.errors import InvalidError, SettingsError
from lading.core.names import check_account_name

app = typer.Typer(
    help="The audit log: who did what, to what, from where, when, and how it ended.", no_args_is_help=True
)

_EVENTS = "/api/v0/events"
_Bound = "RFC 3339, such as 2026-01-31T00:00:00Z, or how long ago, such as 90m or 30d."
After = Annotated[str, typer.Option(help=f"Only what happened from then on: {_Bound}")]
Before = Annotated[str, typer.Option(help=f"Only what happened before then: {_Bound}")]
ActorName = Annotated[str, typer.Option("--actor", help="Only what this account did: its name, or its id.")]
Kind = Annotated[str, typer.Option("--type", help="CREATE, GET, UPDATE, DELETE, FAIL, SIGN_IN, REFUSE, …")]
ObjectKind = Annotated[str, typer.Option("--object", help="REPOSITORY, TAG, MANIFEST, ACCOUNT, SETTINGS, JOB, …")]
RepositoryName = Annotated[str, typer.Option("--repository", help="Only what happened in NAMESPACE/NAME.")]
NoPulls = Annotated[bool, typer.Option("--no-pulls", help="Leave out who pulled; with --repository.")]


@app.command("list")
@on_target
def list_events(
    target: Target,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    after: After = "",
    before: Before = "",
    actor: ActorName = "",
    kind: Kind = "",
    object_kind: ObjectKind = "",
    repository: RepositoryName = "",
    no_pulls: NoPulls = False,
    as_json: Json = False,
) -> None:
    """List events, newest first."""
    path, query = _asked(after, before, kind, object_kind, repository, no_pulls=no_pulls)

    async def work(api: Api) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with aclosing(_iter(api, path, query, actor, page_size=min(limit, 1000))) as happened:
            async for item in happened:
                found.append(item)
                if len(found) == limit:
                    break
        return found

    found = run_api(target, work)
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("when", "who", "what", "on", "repository", "from", "outcome", box=box.SIMPLE)
    for item in found:
        about = item["object"]
        words = (
            item["publishedAt"][:19].replace("T", " "),
            item["actorName"] or item["actor"] or item["actorType"],
            f"{item['type']} {about['type']}",
            " ".join(dict.fromkeys(filter(None, (about.get("name") or about["id"], about.get("content"))))),
            item["repository"],
            item.get("address", ""),
            item.get("outcome", ""),
        )
        table.add_row(*map(shown, words))
    print_table(table)


@app.command()
@on_target
def export(
    target: Target,
    after: After = "",
    before: Before = "",
    actor: ActorName = "",
    kind: Kind = "",
    object_kind: ObjectKind = "",
    repository: RepositoryName = "",
    no_pulls: NoPulls = False,
) -> None:
    """Print all events as JSON lines, newest first, a page at a time."""
    path, query = _asked(after, before, kind, object_kind, repository, no_pulls=no_pulls)
    terminal = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("events: {task.completed}, {task.description}"), TimeElapsedColumn())

    async def work(api: Api) -> None:
        with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
            task = bar.add_task("from the newest on", total=None)
            async for item in _iter(api, path, query, actor, page_size=1000):
                sys.stdout.write(json.dumps(item, separators=(",", ":")) + "\n")
                bar.update(task, advance=1, description=f"back to {item['publishedAt'][:19]}")
            sys.stdout.flush()

    run_api(target, work)


async def _iter(
    api: Api, path: str, query: dict[str, str], actor: str, *, page_size: int
) -> AsyncGenerator[dict[str, Any], None]:
    if actor:
        query = {**query, "actorId": await _account_id(api, actor)}
    async for item in api.iter_pages(path, "events", page_size=page_size, **query):
        yield item


async def _account_id(api: Api, actor: str) -> str:
    """The id of the account of that name; what can be no name is an id."""
    try:
        check_account_name(actor)
    except InvalidError:
        return actor
    if len(actor) == 36 and actor.count("-") == 4:  # noqa: PLR2004 — a UUID, which accounts of old may be known by only
        return actor
    found = await api.ask("GET", f"/enzi/v0/accounts/{actor}")
    return str(found["id"])


def _asked(
    after: str, before: str, kind: str, object_kind: str, repository: str, *, no_pulls: bool
) -> tuple[str, dict[str, str]]:
    """The API's path and query. Errors: SettingsError, NameInvalidError."""
    if no_pulls and not repository:
        raise SettingsError("--no-pulls goes with --repository: elsewhere, name the events wanted with --type")
    query = {
        "publishedAfter": _moment("--after", after),
        "publishedBefore": _moment("--before", before),
        "eventType": kind,
        "objectType": object_kind,
        "excludePull": "true" if no_pulls else "",
    }
    path = f"{repository_path(repository)}/events" if repository else _EVENTS
    return path, {key: value for key, value in query.items() if value}


def _moment(option: str, text: str) -> str:
    if not text:
        return ""
    try:
        return (datetime.now(UTC) - parse_duration(text)).isoformat()
    except InvalidError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{option} is {text!r}: {_Bound}") from error
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).isoformat()
