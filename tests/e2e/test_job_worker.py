"""The job worker of a running server: schedules really collect, while pushes go on and while it is killed."""

import contextlib
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.databases import PostgresqlServer
from support.registries import OCI_MANIFEST, Image, digest_of, make_image, push_image
from support.servers import Server, start_server
from support.waiting import wait_for

REPOSITORY = "admin/yard"
SECONDS = 120  # the schedule comes each second; on a busy machine it may be late
EACH_SECOND = {
    "LADING_GARBAGE__SCHEDULE": "* * * * * *",
    # A push refused for want of a blob that just went is begun again; none may be taken without its blobs.
    "LADING_REGISTRY__SPARSE_IMAGES": "false",
}
NO_GRACE = {**EACH_SECOND, "LADING_GARBAGE__GRACE_HOURS": "0"}
SECONDS_OF_GRACE = {**EACH_SECOND, "LADING_GARBAGE__GRACE_HOURS": "0.001"}


@pytest.fixture(params=["sqlite", "postgresql"])
def collecting(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that collects each second, over each database."""
    if request.param == "sqlite":
        with start_server("none", NO_GRACE) as server:
            yield server
        return
    postgresql: PostgresqlServer = request.getfixturevalue("postgresql")
    # With no grace at all a blob could go between a manifest's check and its commit, which are not serial there.
    with start_server("none", {**SECONDS_OF_GRACE, "LADING_DATABASE__URL": postgresql.create()}) as server:
        yield server


@pytest.fixture
def sqlite_server() -> Iterator[Server]:
    """A server on SQLite that collects each second, without a grace time."""
    with start_server("none", NO_GRACE) as server:
        yield server


def files(server: Server) -> set[str]:
    """The digests of all blobs in the data folder."""
    return {f"sha256:{path.name.partition('.')[0]}" for path in (server.data / "blobs/sha256").glob("??/*")}


def push(server: Server, tag: str) -> Image:
    """A new image, pushed; begun again as often as a blob goes before its manifest comes."""
    image = make_image()
    headers = server.bearer(f"repository:{REPOSITORY}:pull,push")
    with server.client(name=None) as client:

        def is_taken() -> bool:
            with contextlib.suppress(AssertionError):
                return push_image(client, REPOSITORY, tag, image, headers) == image.digest
            return False

        wait_for(is_taken, SECONDS)
    return image


def blobs_of(image: Image) -> set[str]:
    return {digest_of(image.config), *map(digest_of, image.layers)}


def remove(server: Server, image: Image) -> None:
    headers = server.bearer(f"repository:{REPOSITORY}:pull,push,delete")
    with server.client(name=None) as client:
        assert client.delete(f"/v2/{REPOSITORY}/manifests/{image.digest}", headers=headers).status_code == 202


def check_whole(server: Server, image: Image) -> None:
    headers = {**server.bearer(f"repository:{REPOSITORY}:pull"), "Accept": OCI_MANIFEST}
    with server.client(name=None) as client:
        assert client.get(f"/v2/{REPOSITORY}/manifests/{image.digest}", headers=headers).content == image.manifest
        for blob in (image.config, *image.layers):
            found = client.get(f"/v2/{REPOSITORY}/blobs/{digest_of(blob)}", headers=headers)
            assert (found.status_code, found.content) == (200, blob)


def job_worker(server: Server) -> int:
    """The process id of the server's job worker; 0 while there is none."""
    for pid in server.children():
        with contextlib.suppress(OSError):
            words = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
            if words[-3:-1] == [b"lading.app", b"jobs"]:
                return pid
    return 0


def count_jobs(server: Server, where: str) -> int:
    """How many jobs the SQLite database has of which `where` is true."""
    connection = sqlite3.connect(f"file:{server.data / 'lading.db'}?mode=ro", uri=True)
    with contextlib.closing(connection):
        found: int = connection.execute(f"SELECT count(*) FROM jobs WHERE {where}").fetchone()[0]  # noqa: S608 — ours
        return found


def test_a_deleted_image_leaves_the_data_folder_by_itself_while_pushes_go_on(collecting: Server) -> None:
    server = collecting
    deleted, kept = push(server, "deleted"), push(server, "kept")
    pushed: list[Image] = []
    ended = threading.Event()

    def go_on() -> None:
        while not ended.is_set():
            pushed.append(push(server, f"t{len(pushed)}"))

    pusher = threading.Thread(target=go_on)
    pusher.start()
    try:
        assert blobs_of(deleted) <= files(server)
        remove(server, deleted)
        wait_for(lambda: not blobs_of(deleted) & files(server), SECONDS)
        count = len(pushed)
        wait_for(lambda: len(pushed) > count, SECONDS)
    finally:
        ended.set()
        pusher.join()
    for image in (kept, *pushed):
        check_whole(server, image)


def test_a_killed_job_worker_comes_back_and_goes_on_collecting(sqlite_server: Server) -> None:
    server = sqlite_server
    kept, deleted = push(server, "kept"), push(server, "deleted")
    for _ in range(5):
        wait_for(lambda: job_worker(server))
        os.kill(job_worker(server), signal.SIGKILL)
    remove(server, deleted)
    wait_for(lambda: not blobs_of(deleted) & files(server), SECONDS)
    check_whole(server, kept)


def test_a_job_whose_worker_is_killed_over_it_is_ended_by_the_next_one(sqlite_server: Server) -> None:
    server = sqlite_server
    kept = push(server, "kept")
    for _ in range(300):  # something to do
        stray = server.data / "blobs/sha256/00" / f"{os.urandom(32).hex()}.00000000"
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"")
    worker = job_worker(server)
    wait_for(lambda: is_stopped_over_a_job(server, worker), SECONDS)
    (held,) = ids_of_running(server)
    os.kill(worker, signal.SIGKILL)
    # Done by the next worker; or left to a newer run of the same schedule that waited already.
    wait_for(lambda: count_jobs(server, f"id = '{held}' AND status IN ('done', 'canceled')"), SECONDS)
    assert job_worker(server) != worker
    done = count_jobs(server, "status = 'done'")
    wait_for(lambda: count_jobs(server, "status = 'done'") > done, SECONDS)
    assert count_jobs(server, "status = 'errored'") == 0  # none was turned away by the dead one's lease
    check_whole(server, kept)


def is_stopped_over_a_job(server: Server, worker: int) -> bool:
    """True when the worker stands still with a job running; otherwise it goes on."""
    os.kill(worker, signal.SIGSTOP)
    if ids_of_running(server):
        return True
    os.kill(worker, signal.SIGCONT)
    return False


def ids_of_running(server: Server) -> list[str]:
    connection = sqlite3.connect(f"file:{server.data / 'lading.db'}?mode=ro", uri=True)
    with contextlib.closing(connection):
        return [row[0] for row in connection.execute("SELECT id FROM jobs WHERE status = 'running'")]


def test_a_stopped_server_leaves_no_job_running(sqlite_server: Server) -> None:
    server = sqlite_server
    wait_for(lambda: count_jobs(server, "status = 'done'"), SECONDS)
    assert server.stop() == 0
    assert count_jobs(server, "status = 'running'") == 0
