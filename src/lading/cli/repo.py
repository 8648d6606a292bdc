"""`lading repo`: making, listing and deleting repositories."""

import json
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from lading.cli.options import on_target
from lading.cli.output import Json, console
from lading.cli.remote import Api, Target, repository_path, run_api
from lading.core.names import RepositoryName, check_account_name

app = typer.Typer(help="Repositories.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="NAMESPACE/NAME.")]


@app.command()
@on_target
def create(
    target: Target,
    name: Name,
    public: Annotated[bool, typer.Option("--public", help="Anyone may pull.")] = False,
    immutable: Annotated[bool, typer.Option("--immutable", help="Tags are never moved nor deleted.")] = False,
    description: Annotated[str, typer.Option(help="One line on what is in it.")] = "",
    as_json: Json = False,
) -> None:
    """Make a repository, private unless said otherwise."""
    parsed = RepositoryName.parse(name)
    form = {
        "name": parsed.name,
        "visibility": "public" if public else "private",
        "immutableTags": immutable,
        "shortDescription": description,
    }
    path = f"/api/v0/repositories/{parsed.namespace}"
    made = run_api(target, lambda api: api.ask("POST", path, form))
    if as_json:
        typer.echo(json.dumps(made))
    else:
        console.print(f"made the {made['visibility']} repository [bold]{name}[/bold]")


@app.command("list")
@on_target
def list_repositories(
    target: Target,
    namespace: Annotated[str | None, typer.Argument(help="Only this one's.")] = None,
    as_json: Json = False,
) -> None:
    """List the repositories that you may see."""
    path = "/api/v0/repositories" + (f"/{check_account_name(namespace)}" if namespace else "")

    async def work(api: Api) -> list[dict[str, Any]]:
        return [item async for item in api.iter_pages(path, "repositories")]

    found = run_api(target, work)
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("repository", "visibility", "pulls", "pushes", "what", box=box.SIMPLE)
    for item in found:
        name = f"{item['namespace']}/{item['name']}"
        table.add_row(name, item["visibility"], str(item["pulls"]), str(item["pushes"]), item["shortDescription"])
    console.print(table)


@app.command()
@on_target
def delete(
    target: Target,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a repository with all its tags and manifests."""
    path = repository_path(name)
    if not yes:
        typer.confirm(f"Delete {name} with all its tags?", abort=True)
    run_api(target, lambda api: api.ask("DELETE", path))
    console.print(
        f"deleted [bold]{name}[/bold]; its space comes back with garbage collection (lading gc --dry-run tells)"
    )
