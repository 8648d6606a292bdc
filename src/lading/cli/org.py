"""`lading org`: organizations and who belongs to them."""

from typing import Annotated, Any

import typer

from lading.cli.account import WithRepositories, Yes, delete_account
from lading.cli.enzi import ACCOUNTS, account_path, list_all, member_path, unless_refused
from lading.cli.options import on_target
from lading.cli.output import Columns, Json, print_facts, print_list, tell
from lading.cli.remote import Api, Target, run_api
from lading.core.errors import SettingsError
from lading.core.names import check_account_name

app = typer.Typer(help="Organizations, and who belongs to them.", no_args_is_help=True)

Organization = Annotated[str, typer.Argument(metavar="ORG", help="The organization's name.")]
User = Annotated[str, typer.Argument(help="The user's name.")]

MEMBERS: Columns = {
    "member": lambda item: item["member"]["name"],
    "full name": lambda item: item["member"]["fullName"],
    "is": lambda item: "owner" if item["isAdmin"] else "",
    "from": lambda item: "directory" if item["isImported"] else "",
}
_COLUMNS: Columns = {
    "organization": lambda item: item["name"],
    "full name": lambda item: item["fullName"],
    "members": lambda item: str(item["membersCount"]),
    "teams": lambda item: str(item["teamsCount"]),
}


@app.command()
@on_target
def create(
    target: Target,
    name: Organization,
    full_name: Annotated[str, typer.Option(help="What it is called in full.")] = "",
    as_json: Json = False,
) -> None:
    """Make an organization, and so the namespace of that name; for administrators."""
    form = {"name": check_account_name(name), "isOrg": True, "fullName": full_name}
    made = run_api(target, lambda api: api.ask("POST", ACCOUNTS, form))
    then = f"lading org add-member {name} USER --owner"
    tell(made, f"made the organization {name}, with nobody in it", then=then, as_json=as_json)


@app.command("list")
@on_target
def list_organizations(target: Target, as_json: Json = False) -> None:
    """List all organizations for administrators, for others those that they belong to."""

    async def work(api: Api) -> list[Any]:
        found = await unless_refused(list_all(api, ACCOUNTS, "accounts", filter="orgs"))
        if found is not None:
            return found
        if not api.username:
            raise SettingsError("whose? Only `lading login` and --username tell which user it is: use one of them")
        belongs = await list_all(api, f"{account_path(api.username)}/organizations", "memberOrgs")
        return [item["org"] for item in belongs]

    print_list(run_api(target, work), _COLUMNS, as_json=as_json)


@app.command()
@on_target
def show(target: Target, name: Organization, as_json: Json = False) -> None:
    """Show an organization, its owners and its teams."""
    path = account_path(name)

    async def work(api: Api) -> dict[str, Any]:
        owners = await list_all(api, f"{path}/members", "members", filter="admins")
        teams = await list_all(api, f"{path}/teams", "teams")
        return {**await api.ask("GET", path), "owners": owners, "teams": teams}

    found = run_api(target, work)
    facts = {heading: show(found) for heading, show in _COLUMNS.items()}
    facts |= {
        "owners": ", ".join(item["member"]["name"] for item in found["owners"]) or "none",
        "teams": ", ".join(item["name"] for item in found["teams"]) or "none",
    }
    print_facts(found, facts, as_json=as_json)


@app.command()
@on_target
def members(target: Target, name: Organization, as_json: Json = False) -> None:
    """List the members of an organization."""
    path = f"{account_path(name)}/members"
    print_list(run_api(target, lambda api: list_all(api, path, "members")), MEMBERS, as_json=as_json)


@app.command()
@on_target
def add_member(
    target: Target,
    name: Organization,
    user: User,
    owner: Annotated[
        bool | None,
        typer.Option("--owner/--no-owner", help="Owns it: may do everything in it. Said of a member, changes it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a user to an organization. Members see it and its teams; what they may, grants and teams say."""
    path = member_path(account_path(name), user)
    put = run_api(target, lambda api: api.ask("PUT", path, {"isAdmin": owner}))
    what, then = ("an owner", "") if put["isAdmin"] else ("a member", f"lading team add-member {name}/TEAM {user}")
    tell(put, f"{user} is {what} of {name}", then=then, as_json=as_json)


@app.command()
@on_target
def remove_member(target: Target, name: Organization, user: User, yes: Yes = False) -> None:
    """Remove a user from an organization and all its teams."""
    path = member_path(account_path(name), user)
    if not yes:
        typer.confirm(f"Remove {user} from {name} and all its teams?", abort=True)
    run_api(target, lambda api: api.ask("DELETE", path))
    tell(None, f"{user} does not belong to {name}", as_json=False)


@app.command()
@on_target
def delete(target: Target, name: Organization, with_repositories: WithRepositories = False, yes: Yes = False) -> None:
    """Delete an organization, with its teams, grants and robots; for administrators."""
    delete_account(target, name, with_repositories=with_repositories, yes=yes)
