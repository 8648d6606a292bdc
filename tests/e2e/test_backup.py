"""`lading backup` while the server runs and pushes go on, and `lading restore`: all that was acknowledged before comes back."""

import io
import os
import secrets
import shutil
import stat
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.commands import lading, refused
from support.registries import digest_of, make_image, push_image
from support.servers import Server, start_server
from support.waiting import wait_for

REPOSITORY = "admin/kept"
USER, USERS_PASSWORD = "carol", "carols password"


@pytest.fixture(scope="module")
def source() -> Iterator[Server]:
    """A running installation that has something to lose."""
    with start_server("nginx") as server:
        with server.client() as admin:
            made = admin.post("/enzi/v0/accounts", json={"name": USER, "password": USERS_PASSWORD})
            assert made.status_code == 201, made.text
            assert admin.post("/api/v0/meta/settings", json={"deletesEnabled": False}).status_code == 202
        yield server


def pushed(server: Server, tag: str) -> str:
    headers = server.bearer(f"repository:{REPOSITORY}:pull,push")
    with server.client(name=None) as client:
        return push_image(client, REPOSITORY, tag, make_image(), headers)


def check_pull(server: Server, reference: str) -> None:
    headers = server.bearer(f"repository:{REPOSITORY}:pull")
    with server.client(name=None) as client:
        manifest = client.get(f"/v2/{REPOSITORY}/manifests/{reference}", headers=headers)
        assert manifest.status_code == 200
        document = manifest.json()
        for blob in (document["config"], *document["layers"]):
            found = client.get(f"/v2/{REPOSITORY}/blobs/{blob['digest']}", headers=headers)
            assert digest_of(found.content) == blob["digest"]


@dataclass(frozen=True)
class Restored:
    """An installation that was made from a backup, running, and what the first one had acknowledged before."""

    server: Server
    digests: list[str]
    access_token: str


@pytest.fixture(scope="module")
def restored(source: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    folder = tmp_path_factory.mktemp("restored")
    with source.client(name=USER, secret=USERS_PASSWORD) as client:
        access_token = client.post("/api/v0/api_tokens", json={"tokenLabel": "before"}).json()["token"]
    acknowledged = [pushed(source, f"before-{number}") for number in range(3)]
    ended = threading.Event()

    def push() -> None:
        while not ended.is_set():
            acknowledged.append(pushed(source, "during"))

    pusher = threading.Thread(target=push)
    pusher.start()
    try:
        wait_for(lambda: len(acknowledged) > 5)
        before = list(acknowledged)
        lading("backup", folder / "b.tar", "--content", folder / "content", "--data", source.data)
        after = len(acknowledged)
        wait_for(lambda: len(acknowledged) > after)  # pushes went on
    finally:
        ended.set()
        pusher.join()
    lading("restore", folder / "b.tar", "--content", folder / "content", "--data", folder / "data")
    server = Server(folder / "data", source.edge, source.variables, password="not the admin's")
    try:
        yield Restored(server.start(), before, access_token)
    finally:
        server.cleanup()


def test_all_that_was_acknowledged_before_the_backup_is_pulled_whole(source: Server, restored: Restored) -> None:
    restored.server.password = source.password
    for digest in restored.digests:
        check_pull(restored.server, digest)
    assert "all content is whole" in lading("verify", "--data", restored.server.data)


def test_users_sign_in_to_a_restored_server_by_password_and_token(restored: Restored) -> None:
    for secret in (USERS_PASSWORD, restored.access_token):
        with restored.server.client(name=USER, secret=secret) as client:
            assert client.get("/auth/token").status_code == 200
    with restored.server.client(name="admin", secret="not the admin's") as client:  # no second first start
        assert client.get("/auth/token").status_code == 401


def test_a_restored_server_has_the_keys_and_settings_of_the_first(source: Server, restored: Restored) -> None:
    assert restored.server.authority.read_bytes() == source.authority.read_bytes()
    for name in ("master.key", "replica.id"):
        assert (restored.server.data / name).read_bytes() == (source.data / name).read_bytes()
    with restored.server.client(secret=source.password) as admin:
        assert admin.get("/api/v0/meta/settings").json()["deletesEnabled"] is False


def test_a_restored_server_takes_new_pushes(source: Server, restored: Restored) -> None:
    restored.server.password = source.password
    check_pull(restored.server, pushed(restored.server, "after"))


@pytest.fixture(scope="module")
def backed_up(source: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup, its content beside it."""
    folder = tmp_path_factory.mktemp("backup")
    pushed(source, "first")
    lading("backup", folder / "b.tar", "--content", folder / "content", "--data", source.data)
    return folder / "b.tar"


def content_of(backup: Path) -> list[Path]:
    return [path for path in backup.with_name("content").rglob("*") if path.is_file()]


def test_nobody_else_can_read_a_backup_or_what_is_restored(backed_up: Path, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        lading("restore", backed_up, "--content", backed_up.with_name("content"), "--data", tmp_path / "data")
    finally:
        os.umask(old)
    assert stat.S_IMODE(backed_up.stat().st_mode) == 0o600
    for path in (tmp_path / "data", *(tmp_path / "data").rglob("*"), *backed_up.with_name("content").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_settings_file_that_was_named_is_in_the_backup(source: Server, tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text('[log]\nlevel = "debug"\n')
    lading("backup", tmp_path / "b.tar", "--data", source.data, "--config", tmp_path / "lading.toml")
    said = lading(
        "restore", tmp_path / "b.tar", "--content", source.data / "blobs", "--data", tmp_path / "data", status=0
    )
    assert "lading.toml" in said
    assert (tmp_path / "data" / "lading.toml").read_text() == (tmp_path / "lading.toml").read_text()


def test_a_master_key_that_lies_elsewhere_is_in_the_backup(backed_up: Path, tmp_path: Path) -> None:
    lading("restore", backed_up, "--content", backed_up.with_name("content"), "--data", tmp_path / "data")
    key = tmp_path / "elsewhere"
    (tmp_path / "data" / "master.key").rename(key)
    words = ("backup", tmp_path / "b.tar", "--data", tmp_path / "data")
    assert "master.key" in refused(*words)
    lading(*words, LADING_MASTER_KEY_FILE=str(key))
    lading("restore", tmp_path / "b.tar", "--content", tmp_path / "data" / "blobs", "--data", tmp_path / "again")
    assert (tmp_path / "again" / "master.key").read_bytes() == key.read_bytes()


def test_a_second_backup_into_the_same_content_adds_only_what_is_new(source: Server, tmp_path: Path) -> None:
    content = tmp_path / "content"
    lading("backup", tmp_path / "1.tar", "--content", content, "--data", source.data)
    before = {path: path.stat().st_ino for path in content.rglob("*") if path.is_file()}
    pushed(source, "second")
    lading("backup", tmp_path / "2.tar", "--content", content, "--data", source.data)
    after = {path: path.stat().st_ino for path in content.rglob("*") if path.is_file()}
    assert before.items() < after.items()
    assert len(after) == len(before) + 3


def test_content_on_another_disk_is_copied_and_no_less_secret(source: Server, tmp_path: Path) -> None:
    shared = Path("/dev/shm")  # noqa: S108 — a disk of its own on every Linux, where there is one at all
    if not shared.is_dir() or shared.stat().st_dev == source.data.stat().st_dev:
        pytest.skip("/dev/shm is no disk of its own here: mount a tmpfs there")  # noqa: S108 — see above
    content = Path(tempfile.mkdtemp(prefix="lading-content-", dir=shared))
    try:
        lading("backup", tmp_path / "b.tar", "--content", content, "--data", source.data)
        copies = [path for path in content.rglob("*") if path.is_file()]
        assert {digest_of(path.read_bytes()) for path in copies} == {f"sha256:{path.stem}" for path in copies}
        assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in content.rglob("*")} == {0}
    finally:
        shutil.rmtree(content)


# --- what is missing --------------------------------------------------------------------------------------------------


def test_content_that_is_missing_after_a_restore_is_named(backed_up: Path, tmp_path: Path) -> None:
    kept = shutil.copytree(backed_up.with_name("content"), tmp_path / "content")
    lost, cut = sorted(path for path in kept.rglob("*") if path.is_file())[:2]
    lost.unlink()
    os.truncate(cut, cut.stat().st_size - 1)
    said = lading("restore", backed_up, "--content", kept, "--data", tmp_path / "data", status=1)
    for path in (lost, cut):
        assert str(path.relative_to(kept)) in said
    assert "2 blobs are missing" in said


def test_without_its_content_a_restore_tells_that_all_is_missing(backed_up: Path, tmp_path: Path) -> None:
    said = lading("restore", backed_up, "--data", tmp_path / "data", status=1)
    assert f"{len(content_of(backed_up))} blobs are missing" in said


def test_content_that_lies_in_the_new_folder_already_is_taken(backed_up: Path, tmp_path: Path) -> None:
    shutil.copytree(backed_up.with_name("content"), tmp_path / "data" / "blobs")
    lading("restore", backed_up, "--data", tmp_path / "data")


def test_a_backup_tells_that_the_storage_had_lost_content(backed_up: Path, tmp_path: Path) -> None:
    kept = shutil.copytree(backed_up.with_name("content"), tmp_path / "content")
    lading("restore", backed_up, "--content", kept, "--data", tmp_path / "data")
    lost = next(path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file())
    lost.unlink()
    said = lading("backup", tmp_path / "b.tar", "--data", tmp_path / "data", status=1)
    assert lost.name in said
    assert "lading verify" in said


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lading.db", "lading.db-wal", "master.key", "run", "letter.txt"])
def test_a_folder_that_is_not_empty_is_not_restored_into(backed_up: Path, tmp_path: Path, name: str) -> None:
    """An old database's -wal would be read into the new one."""
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data" / name).write_text("here before")
    said = refused("restore", backed_up, "--data", tmp_path / "data", status=1)
    assert "not empty" in said
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name]
    assert (tmp_path / "data" / name).read_text() == "here before"
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o755


Members = dict[str, tarfile.TarInfo]
Contents = dict[str, bytes]


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def write_archive(path: Path, contents: Contents, links: list[tarfile.TarInfo]) -> None:
    """An archive with digests that agree: made with care by somebody who means harm."""
    sums = "".join(f"{digest_of(data).removeprefix('sha256:')}  {name}\n" for name, data in contents.items())
    with tarfile.open(path, "w") as archive:
        for name, data in {**contents, "SHA256SUMS": sums.encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for item in links:
            archive.addfile(item)


def contents_of(backup: Path) -> Contents:
    with tarfile.open(backup) as archive:
        names = [name for name in archive.getnames() if name != "SHA256SUMS"]
        found = {name: archive.extractfile(name) for name in names}
        return {name: stream.read() for name, stream in found.items() if stream is not None}


def blobs_at(contents: Contents, place: str) -> Contents:
    text = contents["backup.json"].decode()
    begin, end = text.index('"sha256/'), text.index(",", text.index('"sha256/'))
    return {**contents, "backup.json": (text[:begin] + place + text[end:]).encode()}


def without(contents: Contents, name: str) -> Contents:
    return {key: value for key, value in contents.items() if key != name}


EVIL: dict[str, tuple[Callable[[Contents], Contents], list[tarfile.TarInfo]]] = {
    "a name that leads out": (lambda found: {**found, "../evil": b"evil"}, []),
    "an absolute name": (lambda found: {**found, "/tmp/evil": b"evil"}, []),  # noqa: S108 — never to be written
    "a file more": (lambda found: {**found, "lading.db-wal": b"evil"}, []),
    "a name that leads out, unlisted": (dict, [tarfile.TarInfo("../evil")]),
    "a symbolic link for a key": (
        lambda found: without(found, "master.key"),
        [link("master.key", "/etc/hostname", tarfile.SYMTYPE)],
    ),
    "a second database that is a link": (dict, [link("lading.db", "/etc/hostname", tarfile.LNKTYPE)]),
    "content that lies outside": (lambda found: blobs_at(found, '"../../evil"'), []),
    "content that lies outside, well hidden": (lambda found: blobs_at(found, '"sha256/ab/../../../evil"'), []),
    "no database": (lambda found: without(found, "lading.db"), []),
    "a form of tomorrow": (
        lambda found: {**found, "backup.json": found["backup.json"].replace(b'"format": 1', b'"format": 2')},
        [],
    ),
    "a list that is none": (lambda found: {**found, "backup.json": b'["no"]'}, []),
}


@pytest.mark.parametrize("kind", EVIL)
def test_an_archive_that_was_made_to_do_harm_is_refused(backed_up: Path, tmp_path: Path, kind: str) -> None:
    change, links = EVIL[kind]
    evil = tmp_path / "in" / "evil.tar"
    evil.parent.mkdir()
    write_archive(evil, change(contents_of(backed_up)), links)
    refused("restore", evil, "--data", tmp_path / "in" / "data", status=1)
    assert list(tmp_path.rglob("*")) == [evil.parent, evil]


def test_an_archive_written_by_these_tests_unchanged_is_taken(backed_up: Path, tmp_path: Path) -> None:
    """So that it is what is evil in the others that is refused."""
    write_archive(tmp_path / "b.tar", contents_of(backed_up), [])
    lading("restore", tmp_path / "b.tar", "--content", backed_up.with_name("content"), "--data", tmp_path / "data")


@pytest.mark.parametrize("part", [0, 0.01, 0.3, 0.99])
def test_an_archive_that_was_cut_is_refused_and_nothing_is_changed(
    backed_up: Path, tmp_path: Path, part: float
) -> None:
    whole = backed_up.read_bytes().rstrip(b"\0")  # the rest is padding
    (tmp_path / "cut.tar").write_bytes(whole[: int(len(whole) * part)])
    refused("restore", tmp_path / "cut.tar", "--data", tmp_path / "data", status=1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["backup.json", "lading.db", "master.key", "replica.id", "SHA256SUMS"])
def test_an_archive_with_one_wrong_byte_is_refused_and_nothing_is_changed(
    backed_up: Path, tmp_path: Path, name: str
) -> None:
    damaged = bytearray(backed_up.read_bytes())
    with tarfile.open(backed_up) as archive:
        member = archive.getmember(name)
    damaged[member.offset_data + member.size // 2] ^= 1
    (tmp_path / "damaged.tar").write_bytes(damaged)
    refused("restore", tmp_path / "damaged.tar", "--data", tmp_path / "data", status=1)
    assert not (tmp_path / "data").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(secrets.token_bytes(5000))
    refused("restore", tmp_path / "letter", "--data", tmp_path / "data", status=1)
    assert "No such file" in refused("restore", tmp_path / "nothing", "--data", tmp_path / "data")
    assert "directory" in refused("restore", tmp_path, "--data", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_backup_is_written_over_nothing(source: Server, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("an older one")
    assert "another name" in refused("backup", tmp_path / "b.tar", "--data", source.data, status=1)
    assert (tmp_path / "b.tar").read_text() == "an older one"
    (tmp_path / "link.tar").symlink_to(tmp_path / "elsewhere")
    refused("backup", tmp_path / "link.tar", "--data", source.data, status=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "link.tar"]


def test_a_backup_that_can_not_be_made_is_one_line_and_leaves_nothing(source: Server, tmp_path: Path) -> None:
    assert "no installation" in refused("backup", tmp_path / "b.tar", "--data", tmp_path / "nothing")
    assert "no folder" in refused("backup", tmp_path / "nothing" / "b.tar", "--data", source.data)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lading.db").write_text("no database, but a letter")
    assert "not a database" in refused("backup", tmp_path / "b.tar", "--data", tmp_path / "data")
    assert "pg_dump" in refused(
        "backup", tmp_path / "b.tar", "--data", source.data, LADING_DATABASE__URL="postgresql+asyncpg://here/lading"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
