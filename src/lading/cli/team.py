"""`lading team`: the teams of an organization, who is in them, and what they were granted."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from lading.cli.account import Yes
from lading.cli.enzi import ACCOUNTS, TeamName, account_path, check_team_name, list_all, member_path, unless_refused
from lading.cli.options import on_target
from lading.cli.org import MEMBERS, Organization, User
from lading.cli.output import Columns, Json, print_facts, print_list, tell
from lading.cli.remote import Api, RemoteError, Target, run_api

app = typer.Typer(help="Teams of an organization.", no_args_is_help=True)

Team = Annotated[str, typer.Argument(metavar="ORG/TEAM", help="The team's whole name.")]

_COLUMNS: Columns = {
    "team": lambda item: item["name"],
    "members": lambda item: str(item["membersCount"]),
    "description": lambda item: item["description"],
}


@app.command()
@on_target
def create(
    target: Target,
    team: Team,
    description: Annotated[str, typer.Option(help="One line on what it is for.")] = "",
    as_json: Json = False,
) -> None:
    """Make a team, with nobody in it and nothing granted."""
    parsed = TeamName.parse(team)
    form = {"name": parsed.name, "description": description}
    made = run_api(target, lambda api: api.ask("POST", f"{ACCOUNTS}/{parsed.organization}/teams", form))
    then = f"lading team add-member {team} USER; lading grant give '{parsed.organization}/*' read-only --to team:{team}"
    tell(made, f"made the team {team}", then=then, as_json=as_json)


@app.command("list")
@on_target
def list_teams(target: Target, organization: Organization, as_json: Json = False) -> None:
    """List the teams of an organization."""
    path = f"{account_path(organization)}/teams"
    print_list(run_api(target, lambda api: list_all(api, path, "teams")), _COLUMNS, as_json=as_json)


@app.command()
@on_target
def show(target: Target, team: Team, as_json: Json = False) -> None:
    """Show a team, who is in it, and what it was granted."""
    parsed = TeamName.parse(team)

    async def work(api: Api) -> dict[str, Any]:
        known: dict[str, Any] = await api.ask("GET", parsed.path)
        members = await list_all(api, f"{parsed.path}/members", "members")
        return {**known, "members": members, "grants": await _granted(api, parsed)}

    found = run_api(target, work)
    people = [item["member"]["name"] + (" (admin)" if item["isAdmin"] else "") for item in found["members"]]
    facts = {
        "team": team,
        "description": found["description"],
        "members": ", ".join(people) or "none",
        "granted": ", ".join(f"{item['role']} on {item['resource']}" for item in found["grants"]) or "nothing",
    }
    print_facts(found, facts, as_json=as_json)


async def _granted(api: Api, team: TeamName) -> list[dict[str, str]]:
    """What the team was granted, as far as the caller is told."""

    async def on(namespace: str) -> list[dict[str, str]]:
        grants = (await api.ask("GET", "/api/v0/grants", namespace=namespace))["grants"]
        return [item for item in grants if (item["subjectKind"], item["subject"]) == ("team", str(team))]

    found = await unless_refused(on(team.organization))
    if found is None:
        return await _granted_levels(api, team)
    return [*found, *(await unless_refused(on("*")) or [])]  # those on all are told to administrators


async def _granted_levels(api: Api, team: TeamName) -> list[dict[str, str]]:
    """The team's levels on repositories by their names, and on the namespace: what its members are told, too."""
    quoted = quote(team.name, safe="")
    path = f"/api/v0/accounts/{team.organization}/teams/{quoted}/repositoryAccess"
    found = [
        {"resource": f"{one['repository']['namespace']}/{one['repository']['name']}", "role": one["accessLevel"]}
        async for one in api.iter_pages(path, "repositoryAccessList")
    ]
    try:
        whole = await api.ask("GET", f"/api/v0/repositoryNamespaces/{team.organization}/teamAccess/{quoted}")
    except RemoteError as error:
        if error.code != "NO_SUCH_NAMESPACE_TEAM_ACCESS":
            raise
        return found
    return [{"resource": f"{team.organization}/*", "role": whole["accessLevel"]}, *found]


@app.command()
@on_target
def members(target: Target, team: Team, as_json: Json = False) -> None:
    """List the members of a team."""
    path = f"{TeamName.parse(team).path}/members"
    columns = {**MEMBERS, "is": lambda item: "admin" if item["isAdmin"] else ""}
    print_list(run_api(target, lambda api: list_all(api, path, "members")), columns, as_json=as_json)


@app.command()
@on_target
def add_member(
    target: Target,
    team: Team,
    user: User,
    admin: Annotated[
        bool | None,
        typer.Option("--admin/--no-admin", help="May change the team and who is in it. Said of a member, changes it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a user to a team, and so to its organization."""
    path = member_path(TeamName.parse(team).path, user)
    put = run_api(target, lambda api: api.ask("PUT", path, {"isAdmin": admin}))
    what = "an admin" if put["isAdmin"] else "a member"
    tell(put, f"{user} is {what} of {team}", then=f"lading team show {team}", as_json=as_json)


@app.command()
@on_target
def remove_member(target: Target, team: Team, user: User) -> None:
    """Remove a user from a team; he stays in the organization."""
    parsed = TeamName.parse(team)
    path = member_path(parsed.path, user)
    run_api(target, lambda api: api.ask("DELETE", path))
    then = f"lading org remove-member {parsed.organization} {user}, if the organization, too, is to be left"
    tell(None, f"{user} is not in {team}", then=then, as_json=False)


@app.command()
@on_target
def rename(
    target: Target,
    team: Team,
    name: Annotated[str, typer.Argument(help="The new name, without the organization.")],
    as_json: Json = False,
) -> None:
    """Give a team another name. Its members and grants stay."""
    parsed = TeamName.parse(team)
    form = {"name": check_team_name(name)}
    changed = run_api(target, lambda api: api.ask("PATCH", parsed.path, form))
    tell(changed, f"{team} is now {parsed.organization}/{name}", as_json=as_json)


@app.command()
@on_target
def delete(target: Target, team: Team, yes: Yes = False) -> None:
    """Delete a team, with all that was granted to it. Its members stay in the organization."""
    parsed = TeamName.parse(team)
    if not yes:
        typer.confirm(f"Delete the team {team} with all that was granted to it?", abort=True)
    run_api(target, lambda api: api.ask("DELETE", parsed.path))
    tell(None, f"deleted the team {team}", as_json=False)
