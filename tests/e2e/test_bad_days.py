"""Bad days of a registry: a full disk, cut bodies, wrong digests, rivals, processes killed. A clear error, and nothing lost."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from support.commands import lading
from support.raw import Answer, Connection
from support.registries import OCI_MANIFEST, Image, digest_of, make_image, push_blob, push_image
from support.servers import Server, start_server
from support.waiting import wait_for

MEBIBYTE = 1024**2
DISK_BYTES = 32 * MEBIBYTE
PUSH_ON_CREATE = {"LADING_REGISTRY__CREATE_REPOSITORY_ON_PUSH": "true"}


def staged(server: Server) -> set[str]:
    """What stands in the staging folders."""
    return {str(path) for name in ("spool", "uploads") for path in (server.data / name).iterdir()}


def blob_files(server: Server, digest: str) -> list[Path]:
    algorithm, _, text = digest.partition(":")
    return list((server.data / "blobs" / algorithm / text[:2]).glob(f"{text}.*"))


def check_whole(server: Server, name: str, *references: str) -> None:
    headers = server.bearer(f"repository:{name}:pull")
    with server.client(name=None) as client:
        for reference in references:
            manifest = client.get(f"/v2/{name}/manifests/{reference}", headers=headers)
            assert manifest.status_code == 200
            for blob in (manifest.json()["config"], *manifest.json()["layers"]):
                found = client.get(f"/v2/{name}/blobs/{blob['digest']}", headers=headers)
                assert digest_of(found.content) == blob["digest"]


def check_verified(server: Server) -> None:
    assert "all content is whole" in lading("verify", "--data", server.data)


def ask(server: Server, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """The answer on a connection of its own: after a refusal the server may close it."""
    with Connection(server) as connection:
        return connection.ask(method, path, {"Content-Length": str(len(body)), **headers}, body)


def begin(server: Server, name: str, token: dict[str, str]) -> str:
    answer = ask(server, "POST", f"/v2/{name}/blobs/uploads/", token)
    assert answer.status == 202, answer.body
    return answer.headers["location"]


def said(answer: Answer) -> tuple[int, str]:
    """Status and code of a refusal in the registry's form."""
    assert answer.headers["content-type"].startswith("application/json"), answer.body
    assert answer.document["errors"][0]["message"]
    return answer.status, answer.error_code


# --- the disk is full -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def server_on_small_disk(edge: str, variables: dict[str, str]) -> Iterator[Server]:
    """A server whose data folder is a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root: run the tests as root")
    folder = Path(tempfile.mkdtemp(prefix="lading-disk-"))
    data = folder / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "lading-test", str(data)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        shutil.rmtree(folder)
        pytest.skip(f"no small disk can be mounted here ({mounted.stderr.strip()}): run the tests with CAP_SYS_ADMIN")
    server = Server(data, edge, {**PUSH_ON_CREATE, **variables})
    try:
        if edge == "nginx" and shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
            pytest.skip("nginx is not installed: apt-get install nginx")
        yield server.start()
    finally:
        server.cleanup()
        subprocess.run(["umount", "--lazy", str(data)], check=True)
        shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["nginx", "none"])
def small(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server on a small disk that it may fill to the last byte."""
    with server_on_small_disk(request.param, {"LADING_REGISTRY__RESERVE_BYTES": "0"}) as server:
        yield server


@pytest.fixture
def filled(small: Server) -> Iterator[tuple[Server, Image]]:
    """The disk without a byte left, and an image that was pushed before."""
    image = make_image()
    with small.client(name=None) as client:
        push_image(client, "admin/full", "before", image, small.bearer("repository:admin/full:pull,push"))
    with no_room(small):
        yield small, image


@contextlib.contextmanager
def no_room(server: Server) -> Iterator[None]:
    """Not a byte is left on the server's disk meanwhile."""
    filler = server.data / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for piece in (MEBIBYTE, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * piece):
                        pass
        yield
    finally:
        filler.unlink(missing_ok=True)


def send_chunked(connection: Connection, data: bytes) -> None:
    """The body in chunks; a server that has refused may not read all of it."""
    with contextlib.suppress(OSError):
        for start in range(0, len(data), MEBIBYTE):
            piece = data[start : start + MEBIBYTE]
            connection.socket.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.socket.sendall(b"0\r\n\r\n")


@pytest.mark.parametrize("transfer", ["with a length", "chunked"])
def test_a_push_larger_than_the_disk_is_refused_and_leaves_nothing(small: Server, transfer: str) -> None:
    """By its length before a byte comes; without one when the disk is full, which nginx meets while it spools."""
    token = small.bearer("repository:admin/large:pull,push")
    data = secrets.token_bytes(DISK_BYTES + MEBIBYTE)
    location = begin(small, "admin/large", token)
    with Connection(small) as connection:
        if transfer == "chunked":
            connection.send_head("PATCH", location, {**token, "Transfer-Encoding": "chunked"})
            send_chunked(connection, data)
            assert said(connection.read()) == (503, "UNAVAILABLE")
        else:
            connection.send_head("PATCH", location, {**token, "Content-Length": str(len(data))})
            assert said(connection.read()) == (507, "DENIED")
    wait_for(lambda: not staged(small))
    status = ask(small, "GET", location, token)
    assert (status.status, status.headers["range"]) == (204, "0-0")
    with small.client(name=None) as client:  # what is smaller finds room
        push_image(client, "admin/large", "small", make_image(), token)
    check_whole(small, "admin/large", "small")
    assert ask(small, "DELETE", location, token).status == 204


def test_on_a_full_disk_pulls_and_tokens_go_on(filled: tuple[Server, Image]) -> None:
    server, image = filled
    check_whole(server, "admin/full", "before")
    token = server.bearer("repository:admin/full:pull")
    assert ask(server, "HEAD", f"/v2/admin/full/blobs/{digest_of(image.config)}", token).status == 200


def test_on_a_full_disk_every_change_is_refused_with_the_reason(filled: tuple[Server, Image]) -> None:
    server, image = filled
    token = server.bearer("repository:admin/full:pull,push,delete")
    other = make_image()
    blob = f"/v2/admin/full/blobs/uploads/?digest={digest_of(b'abc')}"
    changes = [
        ask(server, "POST", "/v2/admin/full/blobs/uploads/", token),
        ask(server, "POST", blob, token, b"abc"),
        ask(server, "PUT", "/v2/admin/full/manifests/new", {**token, "Content-Type": OCI_MANIFEST}, other.manifest),
        ask(server, "DELETE", f"/v2/admin/full/manifests/{image.digest}", token),
    ]
    assert [said(answer) for answer in changes] == [
        (503, "UNAVAILABLE"), (507, "DENIED"), (503, "UNAVAILABLE"), (503, "UNAVAILABLE"),
    ]  # fmt: skip
    for answer in changes:
        assert "full" in answer.document["errors"][0]["message"]
    with server.client() as admin:
        made = admin.post("/api/v0/repositories/admin", json={"name": "full-too"})
        health = admin.get("/health")
    assert (made.status_code, made.json()["errors"][0]["code"]) == (503, "UNAVAILABLE")
    assert health.status_code == 503
    assert "storage" in health.json()["Error"]
    assert "disk is full" in lading("gc", "--data", server.data, status=1)
    check_whole(server, "admin/full", "before")


def test_no_process_dies_of_a_full_disk(filled: tuple[Server, Image]) -> None:
    """Counts for /metrics are written into mapped files: into one that has no room on the disk, that would kill."""
    server, _ = filled
    tree = sorted(server.children())
    with Connection(server) as connection:
        connection.send_head("GET", "/v2/", {})
        assert connection.read().status == 401
        while 'method="OPTIONS",status="405"' not in metrics(server):  # a number that was not there before
            assert ask(server, "OPTIONS", "/v2/admin/full/tags/list", {}).status == 405
    assert sorted(server.children()) == tree
    check_whole(server, "admin/full", "before")


def metrics(server: Server) -> str:
    with server.client(name=None) as client:
        return client.get("/metrics").text


def test_when_there_is_room_again_pushes_go_on_and_all_content_is_whole(filled: tuple[Server, Image]) -> None:
    server, image = filled
    token = server.bearer("repository:admin/full:pull,push,delete")
    location = f"/v2/admin/full/blobs/uploads/?digest={digest_of(b'abc')}"
    assert ask(server, "POST", location, token, b"abc").status == 507
    (server.data / "filler").unlink()
    with server.client(name=None) as client:
        push_image(client, "admin/full", "after", make_image(), token)
        assert client.delete("/v2/admin/full/manifests/before", headers=token).status_code == 202
    check_whole(server, "admin/full", "after", image.digest)
    wait_for(lambda: not staged(server))
    check_verified(server)


def test_an_upload_that_found_no_room_at_its_end_is_finished_when_there_is(small: Server) -> None:
    """Its parts are put together on the disk; until that is done they stay."""
    token = small.bearer("repository:admin/end:pull,push")
    data = secrets.token_bytes(20 * MEBIBYTE)  # twice as much does not fit
    location = begin(small, "admin/end", token)
    for part in (data[: 10 * MEBIBYTE], data[10 * MEBIBYTE :]):
        assert ask(small, "PATCH", location, token, part).status == 202
    before = staged(small)
    refused = ask(small, "PUT", f"{location}?digest={digest_of(data)}", token)
    assert said(refused) == (503, "UNAVAILABLE")
    assert staged(small) == before
    status = ask(small, "GET", location, token)
    assert (status.status, status.headers["range"]) == (204, f"0-{len(data) - 1}")
    assert ask(small, "DELETE", location, token).status == 204
    assert staged(small) == set()


def test_a_push_that_failed_in_its_last_step_is_made_anew(small: Server) -> None:
    """Its bytes were in their place when the database found no room: they are not the upload's any more."""
    token = small.bearer("repository:admin/last:pull,push")
    data = secrets.token_bytes(100_000)
    location = begin(small, "admin/last", token)
    assert ask(small, "PATCH", location, token, data).status == 202
    with no_room(small):
        refused = ask(small, "PUT", f"{location}?digest={digest_of(data)}", token)
        assert said(refused) == (503, "UNAVAILABLE")
    again = ask(small, "PUT", f"{location}?digest={digest_of(data)}", token)
    assert said(again) == (404, "BLOB_UPLOAD_UNKNOWN")
    with small.client(name=None) as client:
        push_blob(client, "admin/last", data, token)
    assert ask(small, "GET", f"/v2/admin/last/blobs/{digest_of(data)}", token).body == data
    assert ask(small, "DELETE", location, token).status == 204


@pytest.mark.parametrize("small", ["nginx"], indirect=True)
def test_a_process_killed_on_a_full_disk_ends_no_server(filled: tuple[Server, Image]) -> None:
    """Without nginx it is Granian that looks after the workers."""
    server, _ = filled
    before = app_workers(server)
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: before[0] not in server.children())
    check_whole(server, "admin/full", "before")
    (server.data / "filler").unlink()
    wait_for(lambda: len(app_workers(server)) == len(before))
    check_whole(server, "admin/full", "before")


def app_workers(server: Server) -> list[int]:
    found = []
    for pid in server.children():
        with contextlib.suppress(OSError):
            if b"lading.app\0worker" in (Path("/proc") / str(pid) / "cmdline").read_bytes():
                found.append(pid)
    return found


@pytest.mark.parametrize("edge", ["nginx", "none"])
def test_below_the_reserve_uploads_wait_until_deleting_and_collecting_made_room(edge: str) -> None:
    with server_on_small_disk(edge, {"LADING_REGISTRY__RESERVE_BYTES": str(DISK_BYTES // 2)}) as server:
        token = server.bearer("repository:admin/reserve:pull,push,delete")
        images: list[Image] = []
        with server.client(name=None) as client:
            while client.post("/v2/admin/reserve/blobs/uploads/", headers=token).status_code == 202:
                images.append(make_image(layers=1, layer_bytes=4 * MEBIBYTE))
                with contextlib.suppress(AssertionError):  # the last is refused in the middle
                    push_image(client, "admin/reserve", f"v{len(images)}", images[-1], token)
            refused = ask(server, "POST", "/v2/admin/reserve/blobs/uploads/", token)
            assert said(refused) == (507, "DENIED")
            check_whole(server, "admin/reserve", "v1")
            assert client.delete(f"/v2/admin/reserve/manifests/{images[0].digest}", headers=token).status_code == 202
            lading("gc", "--now", "--data", server.data)
            push_image(client, "admin/reserve", "again", make_image(), token)
        check_whole(server, "admin/reserve", "again")


# --- bodies that are not what they said -------------------------------------------------------------------------------


def test_a_body_shorter_than_it_said_stores_nothing(server: Server) -> None:
    token = server.bearer("repository:admin/short:pull,push")
    data, before = secrets.token_bytes(3_000_000), staged(server)  # nginx keeps the first megabyte in memory
    begin(server, "admin/short", token)  # makes the repository
    with Connection(server) as connection:
        path = f"/v2/admin/short/blobs/uploads/?digest={digest_of(data)}"
        connection.send_head("POST", path, {**token, "Content-Length": str(len(data))})
        connection.socket.sendall(data[:2_000_000])
        wait_for(lambda: staged(server) - before)
    wait_for(lambda: staged(server) <= before)
    assert ask(server, "HEAD", f"/v2/admin/short/blobs/{digest_of(data)}", token).status == 404
    assert blob_files(server, digest_of(data)) == []


def test_an_upload_whose_chunk_was_cut_goes_on_where_its_status_says(server: Server) -> None:
    token = server.bearer("repository:admin/cut:pull,push")
    data, before = secrets.token_bytes(6_000_000), staged(server)
    location = begin(server, "admin/cut", token)
    assert ask(server, "PATCH", location, token, data[:2_000_000]).status == 202
    kept = staged(server)
    with Connection(server) as connection:
        connection.send_head("PATCH", location, {**token, "Content-Length": "4000000"})
        connection.socket.sendall(data[2_000_000:5_000_000])
        wait_for(lambda: staged(server) - kept)
    wait_for(lambda: staged(server) <= kept)
    status = ask(server, "GET", location, token)
    assert (status.status, status.headers["range"]) == (204, "0-1999999")
    rest = {**token, "Content-Range": "2000000-5999999"}
    assert ask(server, "PATCH", location, rest, data[2_000_000:]).status == 202
    assert ask(server, "PUT", f"{location}?digest={digest_of(data)}", token).status == 201
    assert ask(server, "GET", f"/v2/admin/cut/blobs/{digest_of(data)}", token).body == data
    assert staged(server) <= before


@pytest.mark.parametrize("sent", [500, 2000])
def test_a_chunk_of_another_length_than_its_range_is_refused_and_not_kept(server: Server, sent: int) -> None:
    token = server.bearer("repository:admin/range:pull,push")
    location = begin(server, "admin/range", token)
    before = staged(server)
    with Connection(server) as connection:
        headers = {**token, "Content-Range": "0-999", "Transfer-Encoding": "chunked"}
        connection.send_head("PATCH", location, headers)
        send_chunked(connection, b"x" * sent)
        assert said(connection.read()) == (400, "BLOB_UPLOAD_INVALID")
    wait_for(lambda: staged(server) <= before)
    assert ask(server, "GET", location, token).headers["range"] == "0-0"


@pytest.mark.parametrize("way", ["in one request", "in chunks", "with the last chunk"])
def test_content_with_another_digest_is_refused_and_nothing_is_stored(server: Server, way: str) -> None:
    token = server.bearer("repository:admin/wrong:pull,push")
    data, before = secrets.token_bytes(100_000), staged(server)
    wrong = digest_of(data[:-1])
    location = begin(server, "admin/wrong", token)
    if way == "in one request":
        answer = ask(server, "POST", f"/v2/admin/wrong/blobs/uploads/?digest={wrong}", token, data)
    else:
        first = data if way == "in chunks" else data[:50_000]
        assert ask(server, "PATCH", location, token, first).status == 202
        answer = ask(server, "PUT", f"{location}?digest={wrong}", token, data[len(first) :])
        status = ask(server, "GET", location, token)  # given up: its bytes are nobody's
        assert said(status) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert said(answer) == (400, "DIGEST_INVALID")
    assert staged(server) <= before
    for digest in (wrong, digest_of(data)):
        assert ask(server, "HEAD", f"/v2/admin/wrong/blobs/{digest}", token).status == 404
        assert blob_files(server, digest) == []


# --- rivals -----------------------------------------------------------------------------------------------------------


def together(*work: Callable[[], None]) -> None:
    """All done, begun at the same moment. Errors: the first of theirs."""
    barrier, failures = threading.Barrier(len(work)), list[BaseException]()

    def run(what: Callable[[], None]) -> None:
        try:
            barrier.wait()
            what()
        except BaseException as error:  # noqa: BLE001 — raised again below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=[what]) for what in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


def push_in_chunks(client: httpx.Client, name: str, data: bytes, headers: dict[str, str]) -> None:
    location = client.post(f"/v2/{name}/blobs/uploads/", headers=headers).headers["location"]
    assert client.patch(location, content=data, headers=headers).status_code == 202
    assert client.put(location, params={"digest": digest_of(data)}, headers=headers).status_code == 201


def test_clients_that_push_the_same_at_once_all_succeed_and_one_copy_is_kept(server: Server) -> None:
    names = ["admin/rivals", "admin/rivals", "admin/rivals-too", "admin/rivals-too"]
    headers = server.bearer(*(f"repository:{name}:pull,push" for name in dict.fromkeys(names)))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client(name=None)) for _ in names]
        for _ in range(10):
            image = make_image(layers=1, layer_bytes=100_000)
            layer = image.layers[0]
            manifests = [image.manifest + b" " * number for number in range(len(names))]

            def push(number: int, layer: bytes = layer, image: Image = image, manifest: bytes = b"") -> None:
                client, name = clients[number], names[number]
                push_in_chunks(client, name, layer, headers) if number % 2 else push_blob(client, name, layer, headers)
                push_blob(client, name, image.config, headers)
                put = client.put(
                    f"/v2/{name}/manifests/shared", content=manifest, headers={**headers, "Content-Type": OCI_MANIFEST}
                )
                assert put.status_code == 201, put.text

            together(*(lambda n=n, p=push, m=m: p(n, manifest=m) for n, m in enumerate(manifests)))
            assert len(blob_files(server, digest_of(layer))) == 1
            for number, name in enumerate(names):
                tag = clients[number].get(f"/v2/{name}/manifests/shared", headers=headers)
                assert tag.content in [manifests[n] for n in range(len(names)) if names[n] == name]
                assert clients[number].get(f"/v2/{name}/blobs/{digest_of(layer)}", headers=headers).content == layer
    check_verified(server)


def test_of_two_clients_that_send_the_same_chunk_at_once_one_is_told_to_go_on(server: Server) -> None:
    """Their bytes never mix; who lost learns where the upload stands."""
    token = server.bearer("repository:admin/chunks:pull,push")
    for _ in range(5):
        location = begin(server, "admin/chunks", token)
        bodies, answers = [b"a" * 100_000, b"b" * 100_000], list[tuple[int, bytes]]()

        def send(body: bytes, location: str = location, answers: list[tuple[int, bytes]] = answers) -> None:
            answers.append((ask(server, "PATCH", location, {**token, "Content-Range": "0-99999"}, body).status, body))

        together(*(lambda body=body, send=send: send(body) for body in bodies))
        assert sorted(status for status, _ in answers) == [202, 416]
        [kept] = [body for status, body in answers if status == 202]
        assert ask(server, "PUT", f"{location}?digest={digest_of(kept)}", token).status == 201


# --- processes killed -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["nginx", "none"])
def living(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose processes may be killed."""
    with start_server(request.param, workers=2) as server:
        yield server


def kill_whole(server: Server) -> None:
    assert server.process is not None
    for pid in [server.process.pid, *server.children()]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.process.wait()


def is_answering(server: Server) -> bool:
    try:
        with server.client(name=None) as client:
            return client.get("/v2/").status_code == 401
    except httpx.HTTPError:
        return False


@contextlib.contextmanager
def pushing(server: Server, name: str) -> Iterator[list[str]]:
    """Clients that push all the time, one blob whole and one in chunks each; what was acknowledged to them."""
    acknowledged, ended = list[str](), threading.Event()
    headers = server.bearer(f"repository:{name}:pull,push")

    def push() -> None:
        with server.client(name=None) as client:
            while not ended.is_set():
                image = make_image(layers=1, layer_bytes=200_000)
                with contextlib.suppress(httpx.HTTPError, AssertionError, KeyError):
                    push_in_chunks(client, name, image.layers[0], headers)
                    acknowledged.append(push_image(client, name, secrets.token_hex(4), image, headers))

    threads = [threading.Thread(target=push) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_each_process_in_turn_is_killed_under_pushes_and_nothing_acknowledged_is_lost(living: Server) -> None:
    with pushing(living, "admin/turns") as acknowledged:
        for pid in living.children():
            count = len(acknowledged)
            wait_for(lambda count=count: len(acknowledged) > count)  # type: ignore[misc]
            with contextlib.suppress(ProcessLookupError):  # its main process went before it, and took it along
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: is_answering(living))
        count = len(acknowledged)
        wait_for(lambda: len(acknowledged) > count)
    check_whole(living, "admin/turns", *acknowledged)
    check_verified(living)


def test_the_whole_tree_is_killed_under_pushes_and_verification_finds_nothing(living: Server) -> None:
    with pushing(living, "admin/whole") as acknowledged:
        wait_for(lambda: len(acknowledged) > 3)
        kill_whole(living)
    living.start()
    check_whole(living, "admin/whole", *acknowledged)
    check_verified(living)


def test_an_upload_in_chunks_goes_on_from_its_status_after_the_whole_tree_was_killed(living: Server) -> None:
    token = living.bearer("repository:admin/resumed:pull,push")
    data = secrets.token_bytes(6_000_000)
    location = begin(living, "admin/resumed", token)
    assert ask(living, "PATCH", location, token, data[:2_000_000]).status == 202
    before = staged(living)
    with Connection(living) as connection:
        connection.send_head("PATCH", location, {**token, "Content-Length": "3000000"})
        connection.socket.sendall(data[2_000_000:4_000_000])
        wait_for(lambda: staged(living) - before)
        kill_whole(living)
    living.start()
    status = ask(living, "GET", location, token)
    assert (status.status, status.headers["range"]) == (204, "0-1999999")
    assert ask(living, "PATCH", location, {**token, "Content-Range": "2000000-5999999"}, data[2_000_000:]).status == 202
    assert ask(living, "PUT", f"{location}?digest={digest_of(data)}", token).status == 201
    assert ask(living, "GET", f"/v2/admin/resumed/blobs/{digest_of(data)}", token).body == data
    check_verified(living)


def test_what_a_killed_server_left_in_the_staging_folders_is_cleared_away(living: Server) -> None:
    """nginx's bodies at the start; parts that no upload names by the collection, an hour later."""
    token = living.bearer("repository:admin/left:pull,push")
    location, before = begin(living, "admin/left", token), staged(living)
    with Connection(living) as connection:
        connection.send_head("PATCH", location, {**token, "Content-Length": "3000000"})
        connection.socket.sendall(b"x" * 2_000_000)
        wait_for(lambda: staged(living) - before)
        kill_whole(living)
    living.start()
    assert list((living.data / "spool").iterdir()) == []
    for path in (living.data / "uploads").iterdir():
        os.utime(path, (0, 0))
    lading("gc", "--data", living.data)
    assert staged(living) <= before  # parts of uploads that other tests began
    assert json.loads(ask(living, "GET", "/health", {}).body)["Healthy"]
