"""Organizations, teams, grants, roles, robots and access tokens by the command line, and what clients may by them."""

import os
import re
import subprocess

import pytest

from support.commands import LADING, Person, lading, lading_json, refused
from support.registries import make_image, push_image
from support.servers import PASSWORD, Server

SECRET = re.compile(r"^ {2}(lading_at_\w+)$", re.MULTILINE)
USERS = ("hank", "homer", "lenny", "smithers")


@pytest.fixture(scope="module")
def people(shared_nginx_server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Person]:
    """The admin and four users, signed in."""
    home = tmp_path_factory.mktemp("homes")
    with shared_nginx_server.client() as client:
        for name in USERS:
            made = client.post("/enzi/v0/accounts", json={"name": name, "password": PASSWORD})
            assert made.status_code == 201, made.text
    return {name: Person(shared_nginx_server, name, home) for name in ("admin", *USERS)}


@pytest.fixture
def admin(people: dict[str, Person]) -> Person:
    return people["admin"]


def actions(server: Server, repository: str, name: str, secret: str = PASSWORD) -> str:
    """What a client gets done in the repository: `pull,push`, `pull`, or nothing."""
    headers = server.bearer(f"repository:{repository}:pull,push", name=name, secret=secret)
    with server.client(name=None) as client:
        may_pull = client.get(f"/v2/{repository}/tags/list", headers=headers).status_code != 401
        upload = client.post(f"/v2/{repository}/blobs/uploads/", headers=headers)
    return ",".join(["pull"] * may_pull + ["push"] * (upload.status_code == 202))


def is_let_in(server: Server, name: str, secret: str) -> bool:
    with server.client(name=name, secret=secret) as client:
        return client.get("/auth/token", params={"service": server.host}).status_code == 200


def test_an_organization_is_made_used_and_deleted(nginx_server: Server, people: dict[str, Person]) -> None:
    admin, hank, homer = people["admin"], people["hank"], people["homer"]
    said = admin("org", "create", "globex", "--full-name", "Globex [bold]Corporation")
    assert "next: lading org add-member globex USER --owner" in said
    assert "hank is an owner of globex" in admin("org", "add-member", "globex", "hank", "--owner")
    for person in (admin, hank):
        assert "Globex [bold]Corporation" in person("org", "list")
    assert homer.json("org", "list") == []

    hank("team", "create", "globex/Site builders", "--description", "they build")
    assert "next: lading team add-member globex/auditors USER" in hank("team", "create", "globex/auditors")
    hank("team", "add-member", "globex/Site builders", "homer")
    assert "lenny is an admin of globex/auditors" in hank("team", "add-member", "globex/auditors", "lenny", "--admin")
    assert "they build" in hank("team", "list", "globex")
    members = [(item["member"]["name"], item["isAdmin"]) for item in hank.json("org", "members", "globex")]
    assert members == [("hank", True), ("homer", False), ("lenny", False)]
    shown = hank("org", "show", "globex")
    assert re.search(r"teams +Site builders, auditors *\n owners +hank *\n", shown), shown
    assert "globex (owner)" in hank("account", "show", "hank")
    assert re.search(r"members +3 *\n teams +2 *\n", hank("account", "show", "globex"))

    for name in ("app", "base-one"):
        hank("repo", "create", f"globex/{name}")
    hank("grant", "give", "globex/base-*", "read-write", "--to", "team:globex/Site builders")
    hank("grant", "give", "globex/app", "read-only", "--to", "team:globex/Site builders")
    hank("grant", "give", "globex/*", "read-only", "--to", "user:lenny")
    assert "team:globex/Site builders" in hank("grant", "list", "globex")
    assert [actions(nginx_server, f"globex/{name}", "homer") for name in ("base-one", "app")] == ["pull,push", "pull"]
    assert actions(nginx_server, "globex/base-one", "lenny") == "pull"
    assert "homer has read-write on globex/base-one" in homer("grant", "check", "homer", "globex/base-one")
    assert "lading grant list globex" in admin.refused("grant", "check", "smithers", "globex/app")
    assert "only homer and administrators" in hank.refused("grant", "check", "homer", "globex/app")
    granted = [(item["role"], item["resource"]) for item in hank.json("team", "show", "globex/Site builders")["grants"]]
    assert granted == [("read-only", "globex/app"), ("read-write", "globex/base-*")]
    shown = homer("team", "show", "globex/Site builders")  # patterns are told to owners
    assert re.search(r"members +homer *\n granted +read-only on globex/app *\n", shown), shown

    hank("grant", "take", "globex/base-*", "--from", "team:globex/Site builders")
    assert actions(nginx_server, "globex/base-one", "homer") == ""
    hank("team", "rename", "globex/Site builders", "builders")
    hank("team", "remove-member", "globex/builders", "homer")
    assert hank.json("team", "members", "globex/builders") == []
    hank("team", "delete", "globex/builders", "--yes")
    hank("org", "remove-member", "globex", "homer", "--yes")
    assert "no account" in homer.refused("org", "show", "globex")
    assert "--with-repositories" in admin.refused("org", "delete", "globex", "--yes")
    admin("org", "delete", "globex", "--with-repositories", "--yes")
    assert "no account" in admin.refused("org", "show", "globex")


def test_a_robot_pushes_by_the_secret_that_is_shown_once(nginx_server: Server, people: dict[str, Person]) -> None:
    hank = people["hank"]
    for name in ("base-one", "app"):
        hank("repo", "create", f"hank/{name}")
    said = hank("robot", "create", "hank", "ci", "--allow", "hank/base-*=read-write", "--expires", "90d")
    assert f"next: docker login {nginx_server.host} -u 'robot$hank+ci'" in said
    (secret,) = SECRET.findall(said)
    robot = "robot$hank+ci"
    headers = nginx_server.bearer("repository:hank/base-one:pull,push", name=robot, secret=secret)
    with nginx_server.client(name=None) as client:
        digest = push_image(client, "hank/base-one", "v1", make_image(), headers)
    assert [tag["digest"] for tag in hank.json("tag", "list", "hank/base-one")] == [digest]
    assert actions(nginx_server, "hank/app", robot, secret) == ""
    assert re.search(r"robot\$hank\+ci +yes +read-write on hank/base-\*", hank("robot", "list", "hank"))
    (token,) = hank.json("token", "list", "--user", robot)
    assert token["expiresAt"] > token["createdAt"]
    assert secret not in hank("token", "list", "--user", robot)
    hank("token", "disable", token["hashedToken"][:8], "--user", robot)
    assert not is_let_in(nginx_server, robot, secret)
    hank("token", "enable", token["hashedToken"])
    assert is_let_in(nginx_server, robot, secret)
    assert "can't be a robot's name" in hank.refused("robot", "delete", "hank", "../ci", "--yes", status=2)
    hank("robot", "delete", "hank", "ci", "--yes")
    assert not is_let_in(nginx_server, robot, secret)
    assert hank.json("robot", "list", "hank") == []


def test_a_narrowed_access_token_may_what_it_says_until_it_is_revoked(
    nginx_server: Server, people: dict[str, Person]
) -> None:
    homer = people["homer"]
    for name in ("app", "other"):
        homer("repo", "create", f"homer/{name}")
    said = homer("token", "create", "--label", "for [ci]", "--allow", "homer/app=read-only", "--expires", "2999-01-01")
    assert f"next: docker login {nginx_server.host} -u homer" in said
    (secret,) = SECRET.findall(said)
    assert actions(nginx_server, "homer/app", "homer", secret) == "pull"
    assert actions(nginx_server, "homer/other", "homer", secret) == ""
    listed = homer("token", "list")
    short = re.search(r"(\w{12}) +for \[ci\] +yes +yes .* 2999-01-01 00:00", listed)
    assert short is not None, listed
    assert {item["tokenLabel"] for item in homer.json("token", "list")} == {
        "for [ci]",
        f"lading login on {os.uname().nodename}",
    }
    homer("token", "disable", short[1])
    assert not is_let_in(nginx_server, "homer", secret)
    homer("token", "enable", short[1])
    assert is_let_in(nginx_server, "homer", secret)
    assert "no access token" in people["lenny"].refused("token", "revoke", short[1], "--yes")
    homer("token", "revoke", short[1], status=1, stdin="n\n")
    assert is_let_in(nginx_server, "homer", secret)
    assert "for [ci]" in homer("token", "revoke", short[1], stdin="y\n")
    assert not is_let_in(nginx_server, "homer", secret)
    everyones = people["admin"].json("token", "list", "--all")
    assert len(everyones) > len(people["admin"].json("token", "list"))
    made = people["admin"].json("token", "create", "--user", "lenny")
    assert is_let_in(nginx_server, "lenny", made["token"])


def test_a_role_is_defined_given_and_deleted(nginx_server: Server, people: dict[str, Person]) -> None:
    admin = people["admin"]
    admin("role", "define", "pusher", "-p", "repository:content:push", "--description", "no deleting")
    admin("role", "define", "pusher", "-p", "repository:content:push", "-p", "repository:content:pull")
    assert re.search(r"pusher +repository:content:pull repository:content:push", admin("role", "list"))
    people["lenny"]("repo", "create", "lenny/drop")
    said = people["lenny"]("grant", "give", "lenny/drop", "pusher", "--to", "user:smithers")
    assert "next: lading grant list lenny" in said
    assert actions(nginx_server, "lenny/drop", "smithers") == "pull,push"
    with nginx_server.client(name="smithers", secret=PASSWORD) as client:
        assert client.delete("/api/v0/repositories/lenny/drop/tags/v1").status_code == 403
    assert "take them back" in admin.refused("role", "delete", "pusher", "--yes")
    people["lenny"]("grant", "take", "lenny/drop", "--from", "user:smithers")
    admin("role", "delete", "pusher", "--yes")
    assert "no role" in people["lenny"].refused("grant", "give", "lenny/drop", "pusher", "--to", "everyone")


def test_accounts_are_listed_by_what_they_are(admin: Person) -> None:
    admin("org", "create", "initech")
    assert "initech" in {item["name"] for item in admin.json("account", "list", "--filter", "orgs")}
    assert [item["name"] for item in admin.json("account", "list", "--contains", "smither")] == ["smithers"]
    shown = admin("account", "list")
    assert re.search(r"initech +organization +yes", shown)
    assert re.search(r"admin +administrator +yes", shown)
    admin("account", "delete", "initech", "--yes")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("org show nobody-here", "no account"),
        ("org add-member nobody-here homer", "no account"),
        ("team show smithers/x", "not an organization"),
        ("team create nobody-here/x", "no account"),
        ("account show nobody-here", "no account"),
        ("account delete nobody-here --yes", "only an administrator"),
        ("account list", "only an administrator"),
        ("org create mine", "only an administrator"),
        ("role define mine -p repository:content:pull", "only an administrator"),
        ("grant list homer", "no account"),
        ("grant give homer/x admin --to user:smithers", "no account"),
        ("grant give smithers/x admin --to user:nobody-here", "no account"),
        ("grant give smithers/x owner --to user:homer", "no role"),
        ("grant take smithers/x --from everyone", "no such grant"),
        ("robot create homer ci --allow homer/*=admin", "no account"),
        ("robot create smithers ci --allow homer/*=admin", "in smithers only"),
        ("robot delete smithers nothing --yes", "no account"),
        ("token revoke ffffffffffff --yes", "lading token list"),
        ("token create --user homer", "no user"),
        ("token create --expires 2001-01-01", "to come"),
    ],
)
def test_a_refusal_is_one_line_and_status_1(people: dict[str, Person], words: str, said: str) -> None:
    assert said in people["smithers"].refused(*words.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("org show ../admin", "account's name"),
        ("org create Acme", "account's name"),
        ("org add-member acme a/b", "account's name"),
        ("team show acme", "ORGANIZATION/TEAM"),
        ("team delete acme/.. --yes", "team's name"),
        ("account delete a/../b --yes", "account's name"),
        ("user disable a/../b", "account's name"),
        ("grant give acme read-only --to everyone", "no pattern"),
        ("grant give acme/x read-only --to bob", "team:ORGANIZATION/TEAM"),
        ("grant check bob app", "no namespace"),
        ("grant list ..", "account's name"),
        ("role define x -p everything", "no permission"),
        ("role delete ../x --yes", "role's name"),
        ("robot create acme ci", "--allow PATTERN=LEVEL"),
        ("robot create acme ci --allow acme/x=write", "no level"),
        ("token create --expires soon", "want a length"),
        ("token revoke xyz --yes", "access token's id"),
        ("token create --allow x", "PATTERN=LEVEL"),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(people: dict[str, Person], words: str, said: str) -> None:
    assert said in people["smithers"].refused(*words.split(), status=2)


def test_what_is_deleted_is_asked_about(people: dict[str, Person]) -> None:
    lenny = people["lenny"]
    lenny("repo", "create", "lenny/kept")
    people["admin"]("account", "delete", "lenny", "--with-repositories", status=1)
    people["admin"]("account", "delete", "lenny", "--with-repositories", status=1, stdin="n\n")
    assert "lenny/kept" in lenny("repo", "list", "lenny")


def test_a_command_of_its_own_process_works_on_a_server_and_on_its_data_folder(
    nginx_server: Server, people: dict[str, Person]
) -> None:
    local = ("--data", str(nginx_server.data))
    assert "made the organization vandelay" in lading("org", "create", "vandelay", *local)
    assert lading_json("org", "show", "vandelay", XDG_CONFIG_HOME=people["admin"].home)["owners"] == []
    assert "ORGANIZATION/TEAM" in refused("team", "show", "vandelay", *local)
    said = lading("robot", "create", "vandelay", "ci", "--allow", "vandelay/*=admin", *local)
    assert "next: docker login HOST:PORT -u 'robot$vandelay+ci'" in said


@pytest.fixture(scope="module")
def bash_script() -> str:
    """What bash is told by --show-completion, which looks which shell it was called by."""
    done = subprocess.run(
        ["bash", "-c", f"{LADING} --show-completion; true"], capture_output=True, text=True, check=True
    )
    assert "complete -o default" in done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("lading to", {"token"}),
        ("lading team re", {"remove-member", "rename"}),
        ("lading grant give acme/x read-", {"read-only", "read-write"}),
        ("lading account list --filter ad", {"admins"}),
        ("lading org create --full", {"--full-name"}),
        ("lading --show", {"--show-completion"}),
    ],
)
def test_bash_completes_commands_options_and_words(bash_script: str, typed: str, completed: set[str]) -> None:
    words = f"COMP_WORDS=({typed}); COMP_CWORD={len(typed.split()) - 1}"
    script = f'{bash_script}\n{words}; _lading_completion {LADING}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == completed


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_the_same(shell: str) -> None:
    answer = lading(
        _LADING_COMPLETE=f"complete_{shell}", _TYPER_COMPLETE_ARGS="lading rob", _TYPER_COMPLETE_FISH_ACTION="get-args"
    )
    assert "robot" in answer
