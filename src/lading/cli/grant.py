"""`lading grant`: who has which role on which repositories."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from lading.access.grants import EVERYTHING
from lading.cli.enzi import check_name
from lading.cli.options import on_target
from lading.cli.output import Columns, Json, minute_of, print_list, tell
from lading.cli.remote import RemoteError, Target, run_api
from lading.cli.words import LEVEL_WORDS, check_pattern, parse_subject
from lading.core.names import RepositoryName, check_account_name

app = typer.Typer(help="Who may what on which repositories.", no_args_is_help=True)

_GRANTS = "/api/v0/grants"
Resource = Annotated[str, typer.Argument(help="NAMESPACE/NAME, a pattern such as 'acme/base-*', 'acme/*', or '*'.")]
_WHO = "user:NAME, team:ORG/TEAM, or everyone (who is signed in)."

_COLUMNS: Columns = {
    "repositories": lambda item: item["resource"],
    "to": lambda item: f"{item['subjectKind']}:{item['subject']}" if item["subject"] else item["subjectKind"],
    "role": lambda item: item["role"],
    "since (UTC)": lambda item: minute_of(item["createdAt"]),
}


def _levels() -> list[str]:
    return list(LEVEL_WORDS)


@app.command()
@on_target
def give(
    target: Target,
    resource: Resource,
    role: Annotated[
        str, typer.Argument(help=f"{', '.join(LEVEL_WORDS)}, or one of `lading role list`.", autocompletion=_levels)
    ],
    to: Annotated[str, typer.Option("--to", metavar="WHO", help=_WHO)],
    as_json: Json = False,
) -> None:
    """Give a role on repositories; it takes the place of the one given on the same ones before."""
    kind, subject = parse_subject("--to", to)
    form = {"resource": check_pattern(resource), "subjectKind": kind, "subject": subject, "role": role}
    put = run_api(target, lambda api: api.ask("PUT", _GRANTS, form))
    then = "lading grant list " + (resource.partition("/")[0] if resource != EVERYTHING else f"'{EVERYTHING}'")
    tell(put, f"{to} has {role} on {resource}", then=then, as_json=as_json)


@app.command()
@on_target
def take(
    target: Target,
    resource: Resource,
    held_by: Annotated[str, typer.Option("--from", metavar="WHO", help=_WHO)],
) -> None:
    """Take a role on repositories back. Other grants, on the same repositories by another pattern, stay."""
    kind, subject = parse_subject("--from", held_by)
    query = {"resource": check_pattern(resource), "subjectKind": kind, "subject": subject}
    run_api(target, lambda api: api.ask("DELETE", _GRANTS, **query))
    then = f"lading grant check {subject} NAMESPACE/NAME" if kind == "user" else ""
    tell(None, f"took back what {held_by} was granted on {resource}", then=then, as_json=False)


@app.command("list")
@on_target
def list_grants(
    target: Target,
    namespace: Annotated[str, typer.Argument(help="The namespace; '*' for what was granted on all of them.")],
    as_json: Json = False,
) -> None:
    """List what was granted in a namespace. What owners and administrators may is theirs without it."""
    if namespace != EVERYTHING:
        check_account_name(namespace)
    found = run_api(target, lambda api: api.ask("GET", _GRANTS, namespace=namespace))["grants"]
    print_list(found, _COLUMNS, as_json=as_json)


@app.command()
@on_target
def check(
    target: Target,
    user: Annotated[str, typer.Argument(help="The user's name, or a robot's whole one.")],
    repository: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="The repository.")],
    as_json: Json = False,
) -> None:
    """Tell which level a user has on a repository, all together. Status 1 when it is none."""
    parsed = RepositoryName.parse(repository)
    path = f"/api/v0/accounts/{quote(check_name(user), safe='')}/repositoryAccess"
    path += f"/{parsed.namespace}/{quote(parsed.name, safe='')}"
    try:
        found: dict[str, Any] = run_api(target, lambda api: api.ask("GET", path))
    except RemoteError as error:
        if error.code == "NOT_AUTHORIZED":
            raise RemoteError(f"only {user} and administrators are told what {user} may") from error
        if error.code == "NO_SUCH_REPOSITORY":
            raise RemoteError(
                f"{user} has no level on {repository}, or there is no such repository; "
                f"who has one tells: lading grant list {parsed.namespace}"
            ) from error
        raise
    tell(found, f"{user} has {found['accessLevel']} on {repository}", as_json=as_json)
