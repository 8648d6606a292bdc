"""`lading robot`: accounts of a namespace without a person, for machines that push and pull."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lading.cli.account import Yes
from lading.cli.enzi import check_robot_name
from lading.cli.options import on_target
from lading.cli.output import Columns, Json, console, print_list, shown, tell
from lading.cli.remote import Api, Target, run_api
from lading.cli.words import Allowed, Expires, docker_login, parse_allowed, parse_expiry
from lading.core.errors import SettingsError
from lading.core.names import check_account_name

app = typer.Typer(help="Robots: accounts for machines.", no_args_is_help=True)

Namespace = Annotated[str, typer.Argument(help="The user or organization that owns it.")]
Name = Annotated[str, typer.Argument(help="The robot's name in the namespace, such as ci.")]

_COLUMNS: Columns = {
    "robot": lambda item: item["name"],
    "active": lambda item: "yes" if item["isActive"] else "no",
    "granted": lambda item: ", ".join(f"{one['role']} on {one['resource']}" for one in item["grants"]) or "nothing",
}


@app.command()
@on_target
def create(
    target: Target,
    namespace: Namespace,
    name: Name,
    allow: Allowed = None,
    expires: Expires = "",
    as_json: Json = False,
) -> None:
    """Make a robot with an access token, whose secret is shown this once."""
    if not allow:
        raise SettingsError(f"what may it? --allow PATTERN=LEVEL, such as --allow '{namespace}/*=read-only'")
    path = _path(namespace)
    form = {
        "name": check_robot_name(name),
        "repositories": parse_allowed(allow),
        "expiresAt": parse_expiry(expires, datetime.now(UTC)),
    }

    async def work(api: Api) -> tuple[dict[str, Any], str]:
        return await api.ask("POST", path, form), api.host

    made, host = run_api(target, work)
    whole = made["robot"]["name"]
    then = docker_login(host if target.data is None else "HOST:PORT", whole)
    tell(made, f"made the robot {whole}; its password is shown this once:", as_json=as_json)
    if not as_json:
        typer.echo(f"\n  {made['token']['token']}\n")
        console.print(shown(f"next: {then}"))


@app.command("list")
@on_target
def list_robots(target: Target, namespace: Namespace, as_json: Json = False) -> None:
    """List the robots of a namespace, and what was granted to each."""
    path = _path(namespace)

    async def work(api: Api) -> list[dict[str, Any]]:
        robots = (await api.ask("GET", path))["robots"]
        grants = (await api.ask("GET", "/api/v0/grants", namespace=namespace))["grants"]
        held: dict[str, list[dict[str, str]]] = {}
        for grant in grants:
            if grant["subjectKind"] == "user":
                held.setdefault(grant["subject"], []).append(grant)
        return [{**robot, "grants": held.get(robot["name"], [])} for robot in robots]

    print_list(run_api(target, work), _COLUMNS, as_json=as_json)


@app.command()
@on_target
def delete(target: Target, namespace: Namespace, name: Name, yes: Yes = False) -> None:
    """Delete a robot, with its access tokens and grants."""
    path = f"{_path(namespace)}/{check_robot_name(name)}"
    if not yes:
        typer.confirm(f"Delete the robot {name} of {namespace}?", abort=True)
    run_api(target, lambda api: api.ask("DELETE", path))
    tell(None, f"deleted the robot {name} of {namespace}", as_json=False)


def _path(namespace: str) -> str:
    return f"/api/v0/accounts/{check_account_name(namespace)}/robots"
