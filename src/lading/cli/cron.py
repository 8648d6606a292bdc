"""`lading cron`: what the server does by itself, and when."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich import box
from rich.table import Table

from lading.cli.job import Parameters, parse_parameters
from lading.cli.options import on_target
from lading.cli.output import Json, console, print_table
from lading.cli.remote import Target, run_api

app = typer.Typer(help="Schedules: what the server does by itself, and when.", no_args_is_help=True)

_CRONS = "/api/v0/crons"
Action = Annotated[str, typer.Argument(help="The action, such as onlinegc.")]


@app.command("list")
@on_target
def list_crons(target: Target, as_json: Json = False) -> None:
    """List what runs by itself."""
    found = run_api(target, lambda api: api.ask("GET", _CRONS))["crons"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("action", "schedule", "next run (UTC)", "parameters", box=box.SIMPLE)
    for item in found:
        told = " ".join(f"{name}={value}" for name, value in item["parameters"].items())
        table.add_row(item["action"], item["schedule"], item["nextRun"][:19].replace("T", " "), told)
    print_table(table)


@app.command("set")
@on_target
def set_cron(
    target: Target,
    action: Action,
    schedule: Annotated[
        str, typer.Argument(help="'second minute hour day month weekday' in UTC, or @hourly, @daily, @weekly, …")
    ],
    param: Parameters = None,
    deadline: Annotated[str, typer.Option(help="A run is stopped after so long, such as 1h30m.")] = "",
    retries: Annotated[int, typer.Option(min=0, help="How often a run is tried again when it fails.")] = 0,
    as_json: Json = False,
) -> None:
    """Let an action run by itself; what it was set to before is replaced."""
    form = {
        "action": action,
        "schedule": schedule,
        "parameters": parse_parameters(param or []),
        "deadline": deadline,
        "retries": retries,
    }
    made: dict[str, Any] = run_api(target, lambda api: api.ask("POST", _CRONS, form))
    if as_json:
        typer.echo(json.dumps(made))
    else:
        console.print(f"[bold]{action}[/bold] runs next at {made['nextRun'][:19].replace('T', ' ')} UTC")


@app.command()
@on_target
def remove(target: Target, action: Action) -> None:
    """Let an action run no more by itself. What was submitted already still runs."""
    run_api(target, lambda api: api.ask("DELETE", f"{_CRONS}/{quote(action, safe='')}"))
    console.print(f"[bold]{action}[/bold] no longer runs by itself")
