"""`lading tag`: listing and deleting tags."""

import json
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from lading.cli.options import on_target
from lading.cli.output import Json, console, in_bytes
from lading.cli.remote import Api, Target, repository_path, run_api
from lading.core.errors import SettingsError
from lading.core.names import Tag

app = typer.Typer(help="Tags of a repository.", no_args_is_help=True)


@app.command("list")
@on_target
def list_tags(
    target: Target,
    name: Annotated[str, typer.Argument(help="NAMESPACE/NAME.")],
    as_json: Json = False,
) -> None:
    """List a repository's tags."""
    path = f"{repository_path(name)}/tags"

    async def work(api: Api) -> list[dict[str, Any]]:
        return [item async for item in api.iter_pages(path, includeManifests="true")]

    found = run_api(target, work)
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("tag", "digest", "size", "moved", "by", box=box.SIMPLE)
    for item in found:
        moved = item["updatedAt"][:16].replace("T", " ")
        table.add_row(item["name"], item["digest"][:19], in_bytes(item["manifest"]["size"]), moved, item["author"])
    console.print(table)


@app.command()
@on_target
def delete(
    target: Target,
    names: Annotated[list[str], typer.Argument(help="NAMESPACE/NAME:TAG, one or more.")],
) -> None:
    """Delete tags. What they named stays until nothing needs it."""
    paths = [_path(name) for name in names]

    async def work(api: Api) -> None:
        for name, path in zip(names, paths, strict=True):
            await api.ask("DELETE", path)
            console.print(f"deleted [bold]{name}[/bold]")

    run_api(target, work)


def _path(name: str) -> str:
    repository, colon, tag = name.rpartition(":")
    if not colon:
        raise SettingsError(f"{name} names no tag: want NAMESPACE/NAME:TAG")
    return f"{repository_path(repository)}/tags/{Tag.parse(tag)}"
