"""Before nginx reads a body it asks: strangers never reach the disk, by whatever transfer. Attack rows 3, 5 and 11."""

import contextlib
import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.raw import Answer, Connection
from support.registries import digest_of
from support.servers import Server, start_server
from support.waiting import wait_for

GIBIBYTE = 1024**3
UNKNOWN_UPLOAD = "0" * 12 + "-" + "0" * 32


@dataclass
class Watch:
    """The most bytes that stood in the staging folders at once, over what other tests had left there."""

    folders: tuple[Path, ...]
    most: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._left = self._staged()

    def look(self) -> None:
        self.most = max(self.most, self._staged() - self._left)

    def _staged(self) -> int:
        total = 0
        for folder in self.folders:
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    total += path.stat().st_size
        return total

    def run(self) -> None:
        while not self._ended.wait(0.005):
            self.look()

    def end(self) -> None:
        self._ended.set()


@pytest.fixture
def staging(nginx_server: Server) -> Iterator[Watch]:
    watch = Watch((nginx_server.data / "spool", nginx_server.data / "uploads"))
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 GiB that take no room."""
    path = tmp_path_factory.mktemp("huge") / "body"
    path.touch()
    os.truncate(path, 10 * GIBIBYTE)
    return path


def curl(server: Server, path: str, *more: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what curl gets."""
    ran = subprocess.run(
        ["curl", "-sS", "-i", "--cacert", str(server.authority), "-H", "Expect:", "--max-time", "60", *more,
         f"{server.url}{path}"],
        capture_output=True, check=False,
    )  # fmt: skip
    head, _, body = ran.stdout.partition(b"\r\n\r\n")
    assert head, ran.stderr
    first, *rest = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {n.lower(): v for n, _, v in (line.partition(": ") for line in rest)}, body


HTTP_VERSIONS = ["--http1.1", "--http2"]
LENGTHS = {"with a length": [], "chunked": ["-H", "Transfer-Encoding: chunked"]}


@pytest.mark.parametrize("version", HTTP_VERSIONS)
@pytest.mark.parametrize("length", LENGTHS, ids=str)
@pytest.mark.parametrize(
    ("who", "status", "code"),
    [
        ("nobody", 401, "UNAUTHORIZED"),
        ("a forged token", 401, "UNAUTHORIZED"),
        ("a token for another repository", 401, "UNAUTHORIZED"),
        ("a token that may only pull", 401, "UNAUTHORIZED"),
        ("an unknown upload", 404, "BLOB_UPLOAD_UNKNOWN"),
    ],
)
def test_ten_gibibytes_are_refused_before_one_is_staged(
    nginx_server: Server, staging: Watch, huge: Path, who: str, status: int, code: str, length: str, version: str
) -> None:
    push = nginx_server.bearer("repository:admin/huge:pull,push")["Authorization"]
    headers = {
        "nobody": [],
        "a forged token": ["-H", f"Authorization: {push[:-4]}AAAA"],
        "a token for another repository": [
            "-H", "Authorization: " + nginx_server.bearer("repository:admin/other:pull,push")["Authorization"],
        ],
        "a token that may only pull": [
            "-H", "Authorization: " + nginx_server.bearer("repository:admin/huge:pull")["Authorization"],
        ],
        "an unknown upload": ["-H", f"Authorization: {push}"],
    }[who]  # fmt: skip
    answer, got, body = curl(
        nginx_server, f"/v2/admin/huge/blobs/uploads/{UNKNOWN_UPLOAD}",
        "-X", "PATCH", "-T", str(huge), version, *headers, *LENGTHS[length],
    )  # fmt: skip
    assert answer == status
    assert got["content-type"].startswith("application/json")
    assert json.loads(body)["errors"][0]["code"] == code
    assert ("www-authenticate" in got) == (status == 401)
    assert staging.most == 0


def begin(connection: Connection, name: str, token: dict[str, str]) -> str:
    answer = connection.ask("POST", f"/v2/{name}/blobs/uploads/", {**token, "Content-Length": "0"})
    assert answer.status == 202, answer.body
    return answer.headers["location"]


def test_a_stranger_who_does_not_stop_sending_is_cut_off(nginx_server: Server, staging: Watch) -> None:
    with Connection(nginx_server) as connection:
        connection.send_head("POST", "/v2/admin/huge/blobs/uploads/", {"Content-Length": str(10 * GIBIBYTE)})
        answer = connection.read_head()
        assert answer.status == 401
        ended = False
        until = time.monotonic() + 60
        while not ended and time.monotonic() < until:
            try:
                connection.socket.sendall(b"x" * 65536)
            except OSError:
                ended = True
    assert ended
    assert staging.most == 0


def test_a_chunk_out_of_order_is_refused_with_the_place_to_go_on_and_not_staged(
    nginx_server: Server, staging: Watch
) -> None:
    token = nginx_server.bearer("repository:admin/order:pull,push")
    with Connection(nginx_server) as connection:
        location = begin(connection, "admin/order", token)
        connection.ask("PATCH", location, {**token, "Content-Length": "10"}, b"0123456789")
        staging.look()
        answer = connection.ask(
            "PATCH", location, {**token, "Content-Length": str(GIBIBYTE), "Content-Range": f"5-{GIBIBYTE + 4}"}
        )
    assert answer.status == 416
    assert answer.headers["range"] == "0-9"
    assert answer.headers["location"].endswith(location.rpartition("/")[2])
    assert answer.headers["docker-upload-uuid"] == location.rpartition("/")[2]
    assert answer.error_code == "BLOB_UPLOAD_INVALID"
    assert staging.most == len(b"0123456789")


def test_a_method_that_an_upload_does_not_have_is_told_which_it_has(nginx_server: Server) -> None:
    with Connection(nginx_server) as connection:
        answer = connection.ask("GET", "/v2/admin/x/blobs/uploads/", nginx_server.bearer("repository:admin/x:pull"))
    assert (answer.status, answer.error_code, answer.headers["allow"]) == (405, "UNSUPPORTED", "POST")


@pytest.mark.parametrize("header", ["X-Lading-Verdict", "X-Lading-Body", "X-Lading-Route", "X-Lading-Client"])
def test_what_only_nginx_may_say_is_overwritten(nginx_server: Server, header: str) -> None:
    """A client that knows the names of the trusted headers gains nothing: an upload is still refused, a pull still works."""
    data = secrets.token_bytes(1000)
    (nginx_server.data / "spool" / "planted").write_bytes(data)
    token = nginx_server.bearer("repository:admin/forged:pull,push")
    forged = {header: "planted"}
    try:
        with Connection(nginx_server) as connection:
            path = f"/v2/admin/forged/blobs/uploads/?digest={digest_of(data)}"
            assert connection.ask("POST", path, {**forged, "Content-Length": "0"}).status == 401
            # With every right, but the bytes must be the body's own, here none.
            answer = connection.ask("POST", path, {**forged, **token, "Content-Length": "0"})
            assert answer.status != 201
            base = connection.ask("GET", "/v2/", {**forged, **nginx_server.bearer()})
            assert base.status == 200
        assert (nginx_server.data / "spool" / "planted").read_bytes() == data
    finally:
        (nginx_server.data / "spool" / "planted").unlink(missing_ok=True)


@pytest.mark.parametrize("length", [3, 300_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_any_size_and_transfer_arrive_whole(nginx_server: Server, length: int, *, chunked: bool) -> None:
    data = secrets.token_bytes(length)
    token = nginx_server.bearer("repository:admin/whole:pull,push")
    with Connection(nginx_server) as connection:
        location = begin(connection, "admin/whole", token)
        if chunked:
            pieces = [data[i : i + 100_000] for i in range(0, length, 100_000)]
            body = b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in pieces) + b"0\r\n\r\n"
            answer = connection.ask("PATCH", location, {**token, "Transfer-Encoding": "chunked"}, body)
        else:
            answer = connection.ask("PATCH", location, {**token, "Content-Length": str(length)}, data)
        assert answer.status == 202, answer.body
        assert answer.headers["range"] == f"0-{length - 1}"
        done = connection.ask("PUT", f"{location}?digest={digest_of(data)}", {**token, "Content-Length": "0"})
        assert done.status == 201, done.body
        got = connection.ask("GET", f"/v2/admin/whole/blobs/{digest_of(data)}", token)
    assert got.body == data
    wait_for(lambda: not list((nginx_server.data / "spool").iterdir()))


def test_an_upload_of_very_many_chunks_is_accepted(nginx_server: Server) -> None:
    """The verdict of an upload grows with its chunks; it must not outgrow a header."""
    token = nginx_server.bearer("repository:admin/many:pull,push")
    data = secrets.token_bytes(600)
    with Connection(nginx_server) as connection:
        location = begin(connection, "admin/many", token)
        for index in range(len(data)):
            answer = connection.ask("PATCH", location, {**token, "Content-Length": "1"}, data[index : index + 1])
            assert answer.status == 202, (index, answer.body)
        done = connection.ask("PUT", f"{location}?digest={digest_of(data)}", {**token, "Content-Length": "0"})
    assert done.status == 201, done.body


def test_a_body_does_not_hide_behind_a_length_of_zero(nginx_server: Server, staging: Watch, tmp_path: Path) -> None:
    """A request without a body is not asked about before it is passed on."""
    token = nginx_server.bearer("repository:admin/zero:pull,push")
    (tmp_path / "body").write_bytes(secrets.token_bytes(3_000_000))
    with Connection(nginx_server) as connection:
        location = begin(connection, "admin/zero", token)
        both = {**token, "Content-Length": "0", "Transfer-Encoding": "chunked"}
        assert connection.ask("PATCH", location, both, b"5\r\nhello\r\n0\r\n\r\n").status == 400
    given = ["-H", f"Authorization: {token['Authorization']}", "-H", "Content-Length: 0"]
    for version in HTTP_VERSIONS:
        with contextlib.suppress(AssertionError):  # curl may find the answer not worth an answer, too
            curl(nginx_server, location, "-X", "PATCH", "-T", str(tmp_path / "body"), version, *given)
    with Connection(nginx_server) as connection:
        assert connection.ask("GET", location, token).headers["range"] == "0-0"
    assert staging.most == 0


def test_a_client_that_goes_away_leaves_nothing_and_may_go_on(nginx_server: Server, staging: Watch) -> None:
    token = nginx_server.bearer("repository:admin/gone:pull,push")
    data = secrets.token_bytes(3_000_000)  # nginx holds the first megabyte in memory
    with Connection(nginx_server) as connection:
        location = begin(connection, "admin/gone", token)
    with Connection(nginx_server) as connection:
        connection.send_head("PATCH", location, {**token, "Content-Length": str(len(data))})
        connection.socket.sendall(data[:2_000_000])
        wait_for(lambda: staging.most > 0)
    wait_for(lambda: not list((nginx_server.data / "spool").iterdir()))
    with Connection(nginx_server) as connection:
        status = connection.ask("GET", location, token)
        assert status.status == 204
        assert connection.ask("PATCH", location, {**token, "Content-Length": str(len(data))}, data).status == 202
        done = connection.ask("PUT", f"{location}?digest={digest_of(data)}", {**token, "Content-Length": "0"})
    assert done.status == 201


def test_a_blob_beyond_the_limit_is_refused_before_and_while_it_comes() -> None:
    with start_server("nginx", {"LADING_REGISTRY__BLOB_LIMIT_BYTES": "1000000"}) as server:
        token = server.bearer("repository:admin/limit:pull,push")
        spool = server.data / "spool"
        with Connection(server) as connection:
            location = begin(connection, "admin/limit", token)
            early = connection.ask("PATCH", location, {**token, "Content-Length": "1000001"})
            assert (early.status, early.error_code) == (413, "SIZE_INVALID")
        with Connection(server) as connection:
            connection.send_head("PATCH", location, {**token, "Transfer-Encoding": "chunked"})
            answer = send_chunks_until_answered(connection)
            assert (answer.status, answer.error_code) == (413, "SIZE_INVALID")
        wait_for(lambda: not list(spool.iterdir()))


def send_chunks_until_answered(connection: Connection) -> Answer:
    with contextlib.suppress(OSError):
        for _ in range(200):
            connection.socket.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    return connection.read()
