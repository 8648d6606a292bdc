"""The first start of an installation, the second, and what settings and variables are for."""

import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.servers import Server, nginx_or_skip, start_server

SECRET_PASSWORD = "a canary in a coal mine"


def password_shown(server: Server) -> str:
    """The password in the frame of the first start; empty when none was shown."""
    found = re.search(r"may sign in with the password[│|\s]+(\S+)", server.log.read_text())
    return "" if found is None else found.group(1)


def is_admin(server: Server, password: str) -> bool:
    with server.client(secret=password) as client:
        return client.get("/api/v0/meta/cluster_status").status_code == 200


def kept(server: Server) -> dict[str, bytes]:
    """What a second start must not change."""
    names = ("master.key", "replica.id", "tls/ca.pem", "tls/certificate.pem", "tls/key.pem")
    return {name: (server.data / name).read_bytes() for name in names}


def is_private(path: Path) -> bool:
    return stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers with settings; they are gone afterwards."""
    with ExitStack() as stack:
        yield lambda edge="none", **variables: stack.enter_context(
            start_server(edge, {"LADING_SERVER__DRAIN_SECONDS": "1", **variables})
        )


@pytest.mark.parametrize("edge", ["nginx", "none"])
def test_the_data_folder_and_every_secret_in_it_are_the_servers_own(start: Callable[..., Server], edge: str) -> None:
    server = start(edge)
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    folders = [path for path in server.data.rglob("*") if path.is_dir()]
    secrets = ["master.key", "lading.db", "tls/key.pem", "run/boot.json"]
    if edge == "nginx":
        secrets += ["run/app.sock", "run/nginx.conf"]
    assert [path for path in (*folders, *map(server.data.joinpath, secrets)) if not is_private(path)] == []


def test_a_second_start_changes_nothing_that_the_first_made(start: Callable[..., Server]) -> None:
    # The name is written as people do, which is not how a certificate holds it.
    server = start("nginx", LADING_SERVER__NAMES="Registry.Example.COM,2001:DB8:0::7")
    before, headers = kept(server), server.bearer("repository:admin/app:pull,push")
    with server.client(name=None) as client:
        assert client.post("/v2/admin/app/blobs/uploads/", headers=headers).status_code == 202
    assert server.stop() == 0
    server.variables = {**server.variables, "LADING_ADMIN_PASSWORD": "another one"}
    server.start()
    assert kept(server) == before
    assert is_admin(server, server.password)
    assert not is_admin(server, "another one")
    with server.client(name=None) as client:
        assert client.post("/v2/admin/app/blobs/uploads/", headers=headers).status_code == 202


def test_without_a_given_password_one_is_made_and_shown_once(start: Callable[..., Server]) -> None:
    server = start(LADING_ADMIN_PASSWORD="")
    password = password_shown(server)
    assert len(password) >= 20
    assert is_admin(server, password)
    assert server.stop() == 0
    for path in server.data.rglob("*"):
        assert not path.is_file() or password.encode() not in path.read_bytes(), path
    server.log.write_text("")
    server.start()
    assert password_shown(server) == ""
    assert is_admin(server, password)


def test_a_given_password_is_the_admins_and_is_shown_nowhere(start: Callable[..., Server]) -> None:
    server = start(LADING_ADMIN_PASSWORD=SECRET_PASSWORD)
    assert is_admin(server, SECRET_PASSWORD)
    assert SECRET_PASSWORD not in server.log.read_text()
    for pid in server.children():  # what the first start alone needs is not handed on
        assert SECRET_PASSWORD.encode() not in (Path("/proc") / str(pid) / "environ").read_bytes()


def test_the_admins_password_may_come_from_a_file(start: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{SECRET_PASSWORD}\n")
    server = start(LADING_ADMIN_PASSWORD="", LADING_ADMIN_PASSWORD_FILE=str(tmp_path / "password"))
    assert is_admin(server, SECRET_PASSWORD)


@pytest.mark.parametrize("external", [None, "https://registry.example.com", "https://[2001:db8::7]:8443"])
def test_the_ready_line_tells_the_port_that_was_picked(start: Callable[..., Server], external: str | None) -> None:
    server = start(**({} if external is None else {"LADING_SERVER__EXTERNAL_URL": external}))
    ready = [line for line in server.log.read_text().splitlines() if line.startswith("ready")]
    assert ready == [f"ready https://localhost:{server.port}"]
    assert server.port > 0
    with server.client(name=None) as client:
        realm = f'realm="{external or server.url}/auth/token"'
        assert realm in client.get("/v2/", headers={"Host": "elsewhere"}).headers["www-authenticate"]


# --- settings --------------------------------------------------------------------------------------------------------


def settings(server: Server) -> Any:
    with server.client() as client:
        return client.get("/api/v0/meta/settings").raise_for_status().json()


def test_every_setting_has_a_variable(start: Callable[..., Server]) -> None:
    server = start(
        LADING_REGISTRY__READ_ONLY="true",
        LADING_REGISTRY__ANONYMOUS_ACCESS="no",
        LADING_TOKENS__LIFETIME_SECONDS="77",
        LADING_SERVER__NAMES="one.example.com, two.example.com",
    )
    assert (settings(server)["readOnlyRegistry"], settings(server)["anonymousAccess"]) == (True, False)
    with server.client() as client:
        assert client.get("/auth/token").json()["expires_in"] == 77
    with server.client(name=None) as client:
        challenge = client.get("/v2/", headers={"Host": "two.example.com"}).headers["www-authenticate"]
    assert 'realm="https://two.example.com/auth/token"' in challenge


def test_a_variable_wins_over_the_file_and_the_command_line_over_both(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    file = tmp_path / "lading.toml"
    file.write_text(
        '[server]\nhost = "192.0.2.1"\nexternal_url = "https://file.example.com"\n'
        "[registry]\nread_only = true\ndeletes = false\n"
    )
    server = start(LADING_CONFIG=str(file), LADING_REGISTRY__DELETES="true", LADING_SERVER__HOST="192.0.2.2")
    shown = settings(server)  # answered at all: the command line's address is the one it listens on
    assert (shown["readOnlyRegistry"], shown["deletesEnabled"]) == (True, True)
    assert shown["dtrHost"] == "file.example.com"


def refused(server: Server) -> str:
    """The one line with which its start is refused."""
    ran = subprocess.run(
        server.command(), capture_output=True, text=True, env=server.environment(), check=False, timeout=120
    )
    assert ran.returncode == 2, ran.stderr
    (line,) = ran.stderr.splitlines()
    return line


def test_a_port_for_plain_http_without_nginx_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "none", {"LADING_SERVER__HTTP_REDIRECT_PORT": "8080"})
    assert refused(server) == "lading: server.http_redirect_port needs nginx: install it, or take the setting out"


def test_a_data_folder_whose_path_is_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    nginx_or_skip()
    line = refused(Server(tmp_path / ("long" * 30) / "data", "nginx"))
    assert line.startswith(f"lading: can't listen on {tmp_path}")
    assert "shorter path" in line
