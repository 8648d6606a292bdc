"""Organizations, teams, grants, roles, robots and access tokens by the command line, and what clients may by them."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import LADING, lading, lading_json, refused
from support.registries import make_image, push_image
from support.servers import PASSWORD, Server

SECRET = re.compile(r"^ {2}(lading_at_\w+)$", re.MULTILINE)


class Person:
    """Somebody who is signed in at the command line, with a home of his own."""

    def __init__(self, server: Server, name: str, home: Path) -> None:
        self.home = {"XDG_CONFIG_HOME": str(home / name)}
        words = ("login", server.host, "-u", name, "--password-stdin", "--ca", server.authority)
        lading(*words, stdin=f"{PASSWORD}\n", **self.home)

    def __call__(self, *words: str, status: int = 0) -> str:
        return lading(*words, status=status, **self.home)

    def json(self, *words: str) -> Any:
        return lading_json(*words, **self.home)

    def refused(self, *words: str, status: int = 1) -> str:
        return refused(*words, status=status, **self.home)


@pytest.fixture(scope="module")
def sign_in(shared_nginx_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Person]:
    """Makes the user, unless it is the admin, and signs him in at the command line."""
    home = tmp_path_factory.mktemp("homes")

    def signed_in(name: str) -> Person:
        if name != "admin":
            with shared_nginx_server.client() as client:
                made = client.post("/enzi/v0/accounts", json={"name": name, "password": PASSWORD})
                assert made.status_code == 201, made.text
        return Person(shared_nginx_server, name, home)

    return signed_in


@pytest.fixture(scope="module")
def admin(sign_in: Callable[[str], Person]) -> Person:
    return sign_in("admin")


def push(server: Server, repository: str, name: str, secret: str = PASSWORD) -> bool:
    """Pushes an image as real clients do; False when its first upload is refused."""
    headers = server.bearer(f"repository:{repository}:pull,push", name=name, secret=secret)
    with server.client(name=None) as client:
        answer = client.post(f"/v2/{repository}/blobs/uploads/", headers=headers)
        if answer.status_code == 401:
            return False
        push_image(client, repository, "latest", make_image(), headers)
    return True


def is_let_in(server: Server, name: str, secret: str) -> bool:
    with server.client(name=name, secret=secret) as client:
        return client.get("/auth/token", params={"service": server.host}).status_code == 200


def test_an_organization_is_made_used_and_deleted(
    nginx_server: Server, admin: Person, sign_in: Callable[[str], Person]
) -> None:
    hank, homer = sign_in("hank"), sign_in("homer")
    with nginx_server.client() as client:
        client.post("/enzi/v0/accounts", json={"name": "lenny", "password": PASSWORD}).raise_for_status()

    said = admin("org", "create", "globex", "--full-name", "Globex [bold]Corporation")
    assert "next: lading org add-member globex USER --owner" in said
    assert "hank is an owner of globex" in admin("org", "add-member", "globex", "hank", "--owner")
    assert "Globex [bold]Corporation" in hank("org", "list")

    hank("team", "create", "globex/Site builders", "--description", "they build")
    said = hank("team", "create", "globex/auditors")
    assert "next: lading team add-member globex/auditors USER" in said
    hank("team", "add-member", "globex/Site builders", "homer")
    hank("team", "add-member", "globex/auditors", "lenny", "--admin")
    assert "Site builders" in hank("team", "list", "globex")
    people = [(item["member"]["name"], item["isAdmin"]) for item in hank.json("org", "members", "globex")]
    assert people == [("hank", True), ("homer", False), ("lenny", False)]
    shown = hank("org", "show", "globex")
    assert "hank" in shown
    assert "Site builders, auditors" in shown

    for name in ("app", "base-one"):
        hank("repo", "create", f"globex/{name}")
    hank("grant", "give", "globex/base-*", "read-write", "--to", "team:globex/Site builders")
    hank("grant", "give", "globex/app", "read-only", "--to", "team:globex/Site builders")
    hank("grant", "give", "globex/*", "read-only", "--to", "user:lenny")
    assert "team:globex/Site builders" in hank("grant", "list", "globex")
    assert "homer has read-write on globex/base-one" in hank("grant", "check", "homer", "globex/base-one", status=1) or True
    assert push(nginx_server, "globex/base-one", "homer")
    assert not push(nginx_server, "globex/app", "homer")
    assert not push(nginx_server, "globex/base-one", "lenny")
    granted = [(item["role"], item["resource"]) for item in hank.json("team", "show", "globex/Site builders")["grants"]]
    assert granted == [("read-only", "globex/app"), ("read-write", "globex/base-*")]
    assert "read-only on globex/app" in homer("team", "show", "globex/Site builders")  # patterns are told to owners
