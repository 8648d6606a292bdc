"""The tree of a running server: killed in parts and whole, started twice, stopped gently. Nothing acknowledged is lost."""

import contextlib
import os
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lading.keys.authority import Authority
from support.raw import Connection
from support.registries import digest_of, make_image, push_image
from support.servers import Server, start_server
from support.waiting import wait_for

REPOSITORY = "admin/tree"


@pytest.fixture(scope="module", params=["nginx", "none"])
def living(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server of each edge for all tests of this file: what is killed must come back."""
    with start_server(request.param, workers=2) as server:
        yield server


@pytest.fixture(scope="module")
def behind_nginx() -> Iterator[Server]:
    with start_server("nginx", workers=2) as server:
        yield server


def program_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def parent_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def app_mains(server: Server) -> list[int]:
    """Without nginx the app workers have a main process between them and the supervisor."""
    return [pid for pid in server.children() if "edge.workers" in program_of(pid) and parent_of(pid) == pid_of(server)]


def app_workers(server: Server) -> list[int]:
    if server.edge == "nginx":
        return [pid for pid in server.children() if "lading.app worker" in program_of(pid)]
    mains = app_mains(server)
    return [pid for pid in server.children() if parent_of(pid) in mains and "resource_tracker" not in program_of(pid)]


def pid_of(server: Server) -> int:
    assert server.process is not None
    return server.process.pid


def nginx_masters(server: Server) -> list[int]:
    return [pid for pid in server.children() if program_of(pid).startswith("nginx: master")]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not lives(pid))


def listening_sockets(server: Server) -> int:
    here, listening = f"0100007F:{server.port:04X}", "0A"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(row[1] == here and row[3] == listening for row in rows)


def is_answering(server: Server) -> bool:
    try:
        with server.client(name=None) as client:
            return client.get("/v2/").status_code == 401
    except Exception:  # noqa: BLE001 — whatever it is, it is no answer
        return False


def pushed(server: Server) -> str:
    image = make_image()
    headers = server.bearer(f"repository:{REPOSITORY}:pull,push")
    with server.client(name=None) as client:
        return push_image(client, REPOSITORY, "latest", image, headers)


def check_pull(server: Server, digest: str) -> None:
    headers = server.bearer(f"repository:{REPOSITORY}:pull")
    with server.client(name=None) as client:
        manifest = client.get(f"/v2/{REPOSITORY}/manifests/{digest}", headers=headers)
        assert manifest.status_code == 200
        document = manifest.json()
        for blob in (document["config"], *document["layers"]):
            found = client.get(f"/v2/{REPOSITORY}/blobs/{blob['digest']}", headers=headers)
            assert digest_of(found.content) == blob["digest"]


def test_a_killed_app_worker_comes_back_while_the_others_answer(living: Server) -> None:
    server = living
    digest = pushed(server)
    before = app_workers(server)
    assert len(before) >= 2
    if server.edge == "none":  # each worker has its own; the first that is ready makes the server ready
        wait_for(lambda: listening_sockets(server) == len(before))
    kill(before[0])
    answers = [is_answering(server) for _ in range(20)]
    assert answers.count(True) >= 15  # a connection that was the dead worker's may fail once
    wait_for(lambda: len(app_workers(server)) == len(before))
    assert before[0] not in app_workers(server)
    check_pull(server, digest)


def test_killed_app_workers_all_of_them_come_back(living: Server) -> None:
    server = living
    digest = pushed(server)
    before = app_workers(server)
    for pid in before:
        kill(pid)
    wait_for(lambda: is_answering(server))
    wait_for(lambda: len(app_workers(server)) == len(before))
    check_pull(server, digest)


def test_a_killed_app_main_comes_back_and_leaves_no_orphans(living: Server) -> None:
    if living.edge == "nginx":
        pytest.skip("behind nginx there is no such process: each worker is the supervisor's own child")
    digest = pushed(living)
    main, workers = app_mains(living), app_workers(living)
    kill(main[0])
    wait_for(lambda: app_mains(living) not in ([], main) and is_answering(living))
    wait_for(lambda: not any(lives(pid) for pid in workers))
    check_pull(living, digest)


def test_while_the_app_is_away_nginx_says_so_in_the_registrys_form(behind_nginx: Server) -> None:
    here, away = behind_nginx.data / "run" / "app.sock", behind_nginx.data / "run" / "away.sock"
    here.rename(away)
    try:
        for worker in app_workers(behind_nginx):
            kill(worker)  # and with it the connections that nginx keeps
        with Connection(behind_nginx, seconds=20) as connection:
            pull = connection.ask("GET", "/v2/admin/x/manifests/latest")
            upload = connection.ask("POST", "/v2/admin/x/blobs/uploads/", {"Content-Length": "0"})
            chunk = connection.ask("PATCH", "/v2/admin/x/blobs/uploads/y", {"Content-Length": "1"}, b"x")
    finally:
        away.rename(here)
    assert (pull.status, pull.error_code) == (502, "UNAVAILABLE")
    assert (upload.status, upload.error_code) == (502, "UNAVAILABLE")
    assert (chunk.status, chunk.error_code) == (503, "UNAVAILABLE")
    assert len(pull.document["requestId"]) == 32
    wait_for(lambda: is_answering(behind_nginx))


def test_a_killed_nginx_comes_back_and_its_workers_are_gone(behind_nginx: Server) -> None:
    digest = pushed(behind_nginx)
    master = nginx_masters(behind_nginx)
    workers = [pid for pid in behind_nginx.children() if parent_of(pid) in master]
    assert workers
    kill(master[0])
    wait_for(lambda: nginx_masters(behind_nginx) not in ([], master) and is_answering(behind_nginx))
    assert not any(lives(pid) for pid in workers)
    check_pull(behind_nginx, digest)


def test_after_the_supervisor_is_killed_the_next_start_serves(living: Server) -> None:
    _kill_and_start(living, [])


def test_after_the_supervisor_and_nginx_are_killed_the_next_start_serves(behind_nginx: Server) -> None:
    _kill_and_start(behind_nginx, nginx_masters(behind_nginx))


def _kill_and_start(server: Server, more: Sequence[int]) -> None:
    """The supervisor and `more` are killed at once; what they left is gone when the next start serves what was pushed."""
    digest = pushed(server)
    assert server.process is not None
    tree = server.children()
    for pid in (server.process.pid, *more):
        os.kill(pid, signal.SIGKILL)
    server.process.wait()
    server.start()
    wait_for(lambda: not any(lives(pid) for pid in tree))
    check_pull(server, digest)


def test_killed_whole_in_the_middle_of_pushes_every_acknowledged_one_is_whole(living: Server) -> None:
    server = living
    pushed(server)
    acknowledged: list[str] = []
    ended = threading.Event()
    headers = server.bearer(f"repository:{REPOSITORY}:pull,push")

    def push() -> None:
        with server.client(name=None) as client:
            while not ended.is_set():
                with contextlib.suppress(Exception):
                    acknowledged.append(push_image(client, REPOSITORY, secrets.token_hex(4), make_image(), headers))

    pushers = [threading.Thread(target=push) for _ in range(3)]
    for thread in pushers:
        thread.start()
    wait_for(lambda: len(acknowledged) > 5)
    assert server.process is not None
    for pid in [server.process.pid, *server.children()]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ended.set()
    for thread in pushers:
        thread.join()
    server.process.wait()
    server.start()
    for digest in acknowledged:
        check_pull(server, digest)
    assert list((server.data / "spool").iterdir()) == []


def run_serve(server: Server, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*server.command(), *more], capture_output=True, text=True, env=server.environment(), check=False, timeout=60
    )


def assert_one_line(ran: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("lading: ")
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert ran.stdout == ""
    for word in words:
        assert word in ran.stderr


def test_a_second_start_beside_a_living_one_is_refused_with_one_line(living: Server) -> None:
    server = living
    assert_one_line(run_serve(server), "running on the data folder", str(server.data))
    assert is_answering(server)


def test_a_port_in_use_is_refused_with_one_line(living: Server, tmp_path: Path) -> None:
    """Also when who has it shares it: the app server would take it without a word."""
    server = living
    other = Server(tmp_path / "data", server.edge, port=server.port)
    assert_one_line(run_serve(other), str(server.port), "--port")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LADING_REGISTRY__COLOUR": "blue"}, ["colour", "LADING_REGISTRY__COLOUR"]),
        ({"LADING_SERVER__PORT": "many"}, ["server.port"]),
        ({"LADING_TLS__CERTIFICATE": "/nowhere/c.pem"}, ["tls.certificate"]),
        ({"LADING_TLS__CERTIFICATE": "/nowhere/c.pem", "LADING_TLS__KEY": "/nowhere/k.pem"}, ["/nowhere"]),
        ({"LADING_ADMIN_PASSWORD": "", "LADING_ADMIN_PASSWORD_FILE": "/nowhere/password"}, ["/nowhere/password"]),
        ({"LADING_MASTER_KEY_FILE": "/nowhere/key"}, ["/nowhere/key"]),
        ({"LADING_SERVER__USER": "nobody-of-that-name"}, ["nobody-of-that-name"]),
    ],
)
def test_wrong_settings_are_refused_with_one_line(tmp_path: Path, variables: dict[str, str], words: list[str]) -> None:
    if "LADING_SERVER__USER" in variables and os.geteuid() != 0:
        pytest.skip("only root can become somebody else: run the tests as root")
    server = Server(tmp_path / "data", "none", variables)
    command = server.command()
    if "LADING_SERVER__PORT" in variables:  # the command line would win
        at = command.index("--port")
        del command[at : at + 2]
    ran = subprocess.run(command, capture_output=True, text=True, env=server.environment(), check=False, timeout=60)
    assert_one_line(ran, *words)


def test_an_unknown_key_in_the_settings_file_is_refused_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text('[registry]\ncolour = "blue"\n')
    assert_one_line(run_serve(Server(tmp_path / "data", "none"), "--config", str(tmp_path / "lading.toml")), "colour")


@pytest.mark.parametrize("kind", ["a file", "without rights", "a database that is none"])
def test_a_data_folder_that_can_not_be_used_is_refused_with_one_line(tmp_path: Path, kind: str) -> None:
    data = tmp_path / "data"
    if kind == "a file":
        data.write_text("")
    elif kind == "a database that is none":
        data.mkdir()
        (data / "lading.db").write_text("this is no database, but a letter to nobody in particular" * 100)
    elif os.geteuid() == 0:
        data = Path("/proc/lading")  # root may write anywhere, but not there
    else:
        tmp_path.chmod(0o500)
    assert_one_line(run_serve(Server(data, "none")), str(data))


def test_sigterm_lets_a_running_push_finish_and_takes_no_new_connection(living: Server) -> None:
    server = living
    data = secrets.token_bytes(300_000)
    token = server.bearer(f"repository:{REPOSITORY}:pull,push")
    assert server.process is not None
    process = server.process
    with Connection(server) as idle, Connection(server) as connection:
        assert idle.ask("GET", "/v2/").status == 401
        path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest_of(data)}"
        headers = {**token, "Content-Length": str(len(data)), "Content-Type": "application/octet-stream"}
        connection.send_head("POST", path, headers)
        connection.socket.sendall(data[:100_000])
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses_connections(server))
        assert process.poll() is None
        connection.socket.sendall(data[100_000:])
        assert connection.read().status == 201
    assert process.wait(30) == 0
    server.process = None
    server.start()
    with server.client(name=None) as client:
        assert client.get(f"/v2/{REPOSITORY}/blobs/{digest_of(data)}", headers=token).content == data


def refuses_connections(server: Server) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=1):
            return False
    except ConnectionRefusedError:
        return True


def test_what_does_not_finish_is_cut_after_the_drain(tmp_path: Path) -> None:
    for edge in ("nginx", "none"):
        with start_server(edge, {"LADING_SERVER__DRAIN_SECONDS": "1"}) as server:
            token = server.bearer(f"repository:{REPOSITORY}:pull,push")
            with Connection(server) as connection:
                headers = {**token, "Content-Length": "1000000"}
                connection.send_head("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest_of(b'x')}", headers)
                connection.socket.sendall(b"x" * 1000)
                tree = server.children()
                assert server.stop() == 0
                assert not any(lives(pid) for pid in tree)


@pytest.mark.parametrize("edge", ["nginx", "none"])
def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path, edge: str) -> None:
    """SIGHUP asks for what the server looks after each minute by itself."""
    with start_with_own_certificate(tmp_path, edge) as (server, own):
        renew_and_wait(server, own)
        assert is_answering(server)
        # One that is broken is not taken: the good one stays.
        good = shown_certificate(server)
        own.key.write_text("no key")
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "tried again" in server.log.read_text())
        assert shown_certificate(server) == good


def test_behind_nginx_a_new_certificate_cuts_off_nobody(tmp_path: Path) -> None:
    """Neither who comes in that moment, nor an upload that takes longer than the drain of a stop."""
    data = secrets.token_bytes(300_000)
    with start_with_own_certificate(tmp_path, "nginx", {"LADING_SERVER__DRAIN_SECONDS": "1"}) as (server, own):
        token = server.bearer(f"repository:{REPOSITORY}:pull,push")
        failures: list[Exception] = []
        ended = threading.Event()

        def ask() -> None:
            while not ended.is_set():
                try:
                    with server.client(name=None) as client:
                        assert client.get("/v2/").status_code == 401
                except Exception as error:  # noqa: BLE001 — each failure counts
                    failures.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            with Connection(server) as connection:
                path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest_of(data)}"
                connection.send_head("POST", path, {**token, "Content-Length": str(len(data))})
                connection.socket.sendall(data[:100_000])
                renew_and_wait(server, own)
                time.sleep(2)  # longer than the drain
                connection.socket.sendall(data[100_000:])
                assert connection.read().status == 201
        finally:
            ended.set()
            thread.join()
        assert failures == []


class OwnCertificate:
    """An operator's certificate and key, PEM files."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key, self.authority = folder / "c.pem", folder / "k.pem", folder / "a.pem"
        self._authority = Authority.create("operator", datetime.now(UTC))
        self.authority.write_text(self._authority.pair.certificate)

    def renew(self) -> None:
        pair = self._authority.issue(["localhost"], datetime.now(UTC), timedelta(days=3))
        self.certificate.write_text(pair.certificate)
        self.key.write_text(pair.key)


def shown_certificate(server: Server) -> str:
    return ssl.get_server_certificate(("127.0.0.1", server.port))


@contextlib.contextmanager
def start_with_own_certificate(
    folder: Path, edge: str, variables: dict[str, str] | None = None
) -> Iterator[tuple[Server, OwnCertificate]]:
    own = OwnCertificate(folder)
    own.renew()
    files = {"LADING_TLS__CERTIFICATE": str(own.certificate), "LADING_TLS__KEY": str(own.key)}
    with start_server(edge, {**files, **(variables or {})}) as server:
        assert shown_certificate(server).strip() in own.certificate.read_text()
        server.trusted = own.authority
        yield server, own


def renew_and_wait(server: Server, own: OwnCertificate) -> None:
    before = shown_certificate(server)
    own.renew()
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: all(shown_certificate(server) != before for _ in range(40)), 90)
