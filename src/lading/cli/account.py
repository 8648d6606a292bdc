"""`lading account`: users and organizations alike, looked at and deleted. Users are made by `lading user`."""

from typing import Annotated, Any, Literal

import typer

from lading.cli.enzi import ACCOUNTS, account_path, list_all, unless_refused
from lading.cli.options import on_target
from lading.cli.output import Columns, Json, console, print_facts, print_list, shown
from lading.cli.remote import Api, RemoteError, Target, run_api

app = typer.Typer(help="Accounts: users, organizations and robots.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The account's name.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
WithRepositories = Annotated[bool, typer.Option("--with-repositories", help="With all repositories that it owns.")]
Filter = Literal["all", "users", "orgs", "admins", "non-admins", "active-users", "inactive-users"]


def _kind(account: dict[str, Any]) -> str:
    if account["isOrg"]:
        return "organization"
    if account["name"].startswith("robot$"):
        return "robot"
    return "administrator" if account["isAdmin"] else "user"


_COLUMNS: Columns = {
    "name": lambda item: item["name"],
    "full name": lambda item: item["fullName"],
    "what": _kind,
    "active": lambda item: "yes" if item.get("isActive", True) else "no",
    "from": lambda item: "directory" if item.get("isImported") else "",
}


@app.command("list")
@on_target
def list_accounts(
    target: Target,
    kind: Annotated[Filter, typer.Option("--filter", help="Only these.")] = "all",
    contains: Annotated[str, typer.Option(help="Only those with this word in their name or full name.")] = "",
    as_json: Json = False,
) -> None:
    """List accounts; for administrators."""
    query = {"filter": kind, "contains": contains}
    found = run_api(target, lambda api: list_all(api, ACCOUNTS, "accounts", **query))
    print_list(found, _COLUMNS, as_json=as_json)


@app.command()
@on_target
def show(target: Target, name: Name, as_json: Json = False) -> None:
    """Show an account, and which organizations it belongs to."""
    path = account_path(name)

    async def work(api: Api) -> dict[str, Any]:
        account: dict[str, Any] = await api.ask("GET", path)
        if account["isOrg"]:
            return account
        belongs = await unless_refused(list_all(api, f"{path}/organizations", "memberOrgs"))
        return account if belongs is None else {**account, "memberOrgs": belongs}

    account = run_api(target, work)
    facts = {heading: show(account) for heading, show in _COLUMNS.items()}
    if account["isOrg"]:
        facts |= {"members": str(account["membersCount"]), "teams": str(account["teamsCount"])}
    elif "memberOrgs" in account:
        belongs = [item["org"]["name"] + (" (owner)" if item["isAdmin"] else "") for item in account["memberOrgs"]]
        facts["organizations"] = ", ".join(belongs)
    print_facts(account, {**facts, "id": account["id"]}, as_json=as_json)


@app.command()
@on_target
def delete(target: Target, name: Name, with_repositories: WithRepositories = False, yes: Yes = False) -> None:
    """Delete an account, with its access tokens, grants, teams and robots."""
    delete_account(target, name, with_repositories=with_repositories, yes=yes)


def delete_account(target: Target, name: str, *, with_repositories: bool, yes: bool) -> None:
    """The account is gone, after a question unless `yes`. Errors: RemoteError, also when it owns repositories."""
    path = account_path(name)
    if with_repositories:
        path = path.replace(ACCOUNTS, "/api/v0/accounts", 1)
    if not yes:
        typer.confirm(f"Delete {name}{' with all its repositories' if with_repositories else ''}?", abort=True)
    try:
        run_api(target, lambda api: api.ask("DELETE", path))
    except RemoteError as error:
        if error.code == "ACCOUNT_OWNS_REPOSITORIES":
            raise RemoteError(
                f"{name} owns repositories: look at them with `lading repo list {name}`, or delete them, too: "
                "--with-repositories"
            ) from error
        raise
    console.print(shown(f"deleted {name}"))
    if with_repositories:
        console.print("the space comes back with garbage collection (lading gc --dry-run tells)")
