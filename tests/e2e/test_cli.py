"""The command line against a real server, and against its data folder."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.registries import make_image, push_image
from support.servers import Server


@dataclass(frozen=True)
class Lading:
    """The command, with a home of its own."""

    home: Path

    def __call__(
        self, *words: str, stdin: str = "", status: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("LADING_")}
        command = [str(Path(sys.executable).with_name("lading")), *words]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**clean, "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home), **variables},
            timeout=60,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, stdin: str = "") -> Any:
        return json.loads(self(*words, "--json", stdin=stdin).stdout)

    def login(self, server: Server, name: str = "admin", password: str | None = None) -> None:
        words = ("login", server.host, "-u", name, "--password-stdin", "--ca", str(server.authority))
        self(*words, stdin=(password or server.password) + "\n")


@pytest.fixture
def lading(tmp_path: Path) -> Lading:
    return Lading(tmp_path / "home")


def test_users_repositories_and_tags_are_managed_after_a_login(nginx_server: Server, lading: Lading) -> None:
    lading.login(nginx_server)
    kept = lading.home / "lading" / "config.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert nginx_server.password not in kept.read_text()
    made = lading.json("user", "create", "carol", "--password-stdin", stdin="carols password\n")
    assert (made["name"], made["isAdmin"]) == ("carol", False)
    assert "carol" in [user["name"] for user in lading.json("user", "list")]
    assert lading.json("repo", "create", "carol/deep/app", "--public")["visibility"] == "public"
    headers = nginx_server.bearer("repository:carol/deep/app:pull,push", name="carol", secret="carols password")
    with nginx_server.client(name=None) as client:
        digest = push_image(client, "carol/deep/app", "v1", make_image(), headers)
    assert [tag["digest"] for tag in lading.json("tag", "list", "carol/deep/app")] == [digest]
    assert "v1" in lading("tag", "list", "carol/deep/app").stdout
    lading("tag", "delete", "carol/deep/app:v1")
    assert lading.json("tag", "list", "carol/deep/app") == []
    lading("repo", "delete", "carol/deep/app", "--yes")
    assert "no repository" in lading("repo", "delete", "carol/deep/app", "--yes", status=1).stderr
    lading("user", "disable", "carol")
    with nginx_server.client(name="carol", secret="carols password") as client:
        assert client.get("/auth/token").status_code == 401
    lading("logout")
    assert "which server?" in lading("repo", "list", status=2).stderr


def test_a_token_in_the_environment_is_enough(nginx_server: Server, lading: Lading) -> None:
    with nginx_server.client() as client:
        token = client.post("/api/v0/api_tokens", json={}).json()["token"]
    variables = {"LADING_URL": nginx_server.url, "LADING_TOKEN": token}
    lading("repo", "list", "--ca", str(nginx_server.authority), **variables)
    lading("repo", "list", "--ca", str(nginx_server.authority), status=1, **{**variables, "LADING_TOKEN": "wrong"})


def test_a_server_that_is_not_trusted_or_not_there_is_one_line(nginx_server: Server, lading: Lading) -> None:
    words = ("login", nginx_server.host, "-u", "admin", "--password-stdin")
    assert "--ca FILE" in lading(*words, stdin="x\n", status=1).stderr
    refused = lading("login", "localhost:1", "-u", "admin", "--password-stdin", stdin="x\n", status=1)
    assert len(refused.stderr.strip().splitlines()) == 1
    lading("login", nginx_server.host.replace("localhost", "http://localhost"), "-u", "x", status=2)


def test_after_trust_host_a_server_needs_no_authority_named(nginx_server: Server, lading: Lading) -> None:
    words = ("login", nginx_server.host, "-u", "admin", "--password-stdin")
    assert (
        f"lading trust-host {nginx_server.host}" in lading(*words, stdin=f"{nginx_server.password}\n", status=1).stderr
    )
    lading("trust-host", nginx_server.host, "--yes", "--root", str(lading.home))
    lading(*words, stdin=f"{nginx_server.password}\n")
    assert isinstance(lading.json("repo", "list"), list)


def test_the_data_folder_serves_the_locked_out(nginx_server: Server, lading: Lading) -> None:
    data = str(nginx_server.data)
    lading("user", "create", "dave", "--password-stdin", "--data", data, stdin="daves password\n")
    lading("user", "disable", "dave", "--data", data)
    said = lading("admin", "reset-password", "--data", data, "--user", "dave").stdout
    password = said.rpartition(": ")[2].strip()
    with nginx_server.client(name="dave", secret=password) as client:
        assert client.get("/auth/token").status_code == 200
    with nginx_server.client(name="dave", secret="daves password") as client:
        assert client.get("/auth/token").status_code == 401
    assert lading.json("repo", "create", "dave/app", "--data", data)["namespace"] == "dave"
    assert "no installation" in lading("repo", "list", "--data", str(lading.home / "nothing"), status=2).stderr


def test_a_new_password_is_set_by_its_owner_who_knows_the_old_one(nginx_server: Server, lading: Lading) -> None:
    data = str(nginx_server.data)
    lading("user", "create", "erin", "--password-stdin", "--data", data, stdin="erins password\n")
    lading.login(nginx_server, "erin", "erins password")
    lading("user", "set-password", "erin", "--password-stdin", stdin="another one\nwrong\n", status=1)
    lading("user", "set-password", "erin", "--password-stdin", stdin="another one\nerins password\n")
    with nginx_server.client(name="erin", secret="another one") as client:
        assert client.get("/auth/token").status_code == 200


def test_a_setting_reaches_every_worker_within_seconds(own_server: Server) -> None:
    headers = own_server.bearer("repository:admin/app:pull,push")
    with own_server.client() as admin, own_server.client(name=None) as client:
        assert admin.post("/api/v0/meta/settings", json={"readOnlyRegistry": True}).status_code == 202
        for _ in range(200):
            answers = [client.post("/v2/admin/app/blobs/uploads/", headers=headers).status_code for _ in range(8)]
            if set(answers) == {405}:
                break
        assert set(answers) == {405}
        pinned = admin.post("/api/v0/meta/settings", json={"createRepositoryOnPush": False})
        assert (pinned.status_code, pinned.json()["errors"][0]["code"]) == (400, "INVALID_SETTINGS")
