"""`lading job`: what the job worker does, did, and shall do."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich import box
from rich.table import Table

from lading.cli.options import on_target
from lading.cli.output import Json, console, print_table, shown
from lading.cli.remote import Api, Target, run_api
from lading.core.errors import SettingsError

app = typer.Typer(help="Jobs: what the server does in the background.", no_args_is_help=True)

_JOBS = "/api/v0/jobs"
_ENDED = {"done", "canceled", "errored"}
_LOOK_SECONDS = 1.0
JobId = Annotated[str, typer.Argument(help="The job's id.")]
Parameters = Annotated[list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE; may be given often.")]


@app.command("list")
@on_target
def list_jobs(
    target: Target,
    action: Annotated[str, typer.Option(help="Only jobs of this action.")] = "any",
    running: Annotated[bool, typer.Option("--running", help="Only what runs now.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List jobs, newest scheduled first."""
    state = "true" if running else "any"
    found = run_api(
        target,
        lambda api: api.ask("GET", _JOBS, action=action, running=state, limit=limit),
    )["jobs"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("id", "action", "status", "progress", "scheduled", "updated", box=box.SIMPLE)
    for job in found:
        times = [job[key][:19].replace("T", " ") for key in ("scheduledAt", "lastUpdated")]
        table.add_row(job["id"], job["action"], job["status"], _progress(job), *times)
    print_table(table)


@app.command()
@on_target
def show(
    target: Target,
    job_id: JobId,
    as_json: Json = False,
) -> None:
    """Show one job."""
    job = run_api(target, lambda api: api.ask("GET", f"{_JOBS}/{quote(job_id, safe='')}"))
    if as_json:
        typer.echo(json.dumps(job))
        return
    table = Table(show_header=False, box=None)
    for key, value in job.items():
        if value not in ("", {}, 0):
            table.add_row(key, json.dumps(value) if isinstance(value, dict) else str(value))
    print_table(table)


@app.command()
@on_target
def logs(
    target: Target,
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
) -> None:
    """Print a job's log."""

    async def work(api: Api) -> None:
        if follow:
            await follow_job(api, job_id)
        else:
            await print_log(api, job_id, 0)

    run_api(target, work)


@app.command()
@on_target
def run(
    target: Target,
    action: Annotated[str, typer.Argument(help="What to do, such as onlinegc.")],
    param: Parameters = None,
    at: Annotated[str, typer.Option(help="When, as RFC 3339 writes it; now when not given.")] = "",
    deadline: Annotated[str, typer.Option(help="It is stopped after so long, such as 1h30m.")] = "",
    retries: Annotated[int, typer.Option(min=0, help="How often it is tried again when it fails.")] = 0,
    wait: Annotated[
        bool, typer.Option("--wait", help="Print its log until it ends; status 1 unless it is done.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an action, now or at a moment."""
    form = {
        "action": action,
        "parameters": parse_parameters(param or []),
        "scheduledAt": at,
        "deadline": deadline,
        "retries": retries,
    }

    async def work(api: Api) -> dict[str, Any]:
        job: dict[str, Any] = await api.ask("POST", _JOBS, form)
        return await follow_job(api, job["id"], quietly=as_json) if wait else job

    job = run_api(target, work)
    if as_json:
        typer.echo(json.dumps(job))
    else:
        console.print(f"job [bold]{job['id']}[/bold] is {job['status']}")
    if wait and job["status"] != "done":
        raise typer.Exit(1)


@app.command()
@on_target
def cancel(target: Target, job_id: JobId) -> None:
    """Stop a job: one that waits never runs, one that runs is asked to end."""
    run_api(target, lambda api: api.ask("POST", f"{_JOBS}/{quote(job_id, safe='')}/cancel"))
    console.print(f"job [bold]{job_id}[/bold] is asked to stop")


@app.command()
@on_target
def delete(target: Target, job_id: JobId) -> None:
    """Stop a job, and remove it with its log."""
    run_api(target, lambda api: api.ask("DELETE", f"{_JOBS}/{quote(job_id, safe='')}"))
    console.print(f"job [bold]{job_id}[/bold] is gone")


def parse_parameters(words: Sequence[str]) -> dict[str, str]:
    """The parameters that NAME=VALUE words give. Errors: SettingsError."""
    for word in words:
        if not word.partition("=")[1]:
            raise SettingsError(f"{word!r} is no parameter: want NAME=VALUE")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _progress(job: dict[str, Any]) -> str:
    done, total = job["progressDone"], job["progressTotal"]
    return f"{done}/{total}" if total else str(done or "")


async def print_log(api: Api, job_id: str, offset: int, *, quietly: bool = False) -> int:
    """Prints the log from a line on; the number of the line after it."""
    lines = await api.ask("GET", f"{_JOBS}/{quote(job_id, safe='')}/logs", offset=offset)
    for line in lines:
        if not quietly:
            typer.echo(shown(line["data"]).plain)
    return lines[-1]["lineNum"] + 1 if lines else offset


async def follow_job(
    api: Api, job_id: str, *, quietly: bool = False, look: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """The job, having ended; its log is printed as it comes, and `look` is shown the job at each step.

    Errors: RemoteError, also when it was deleted.
    """
    offset = 0
    while True:
        path = f"{_JOBS}/{quote(job_id, safe='')}"
        job: dict[str, Any] = await api.ask("GET", path)  # asked first: what it wrote before comes yet
        if look is not None:
            look(job)
        offset = await print_log(api, job_id, offset, quietly=quietly)
        if job["status"] in _ENDED:
            return job
        await asyncio.sleep(_LOOK_SECONDS)
