"""`lading gc` and `lading verify` beside a running server: what goes, what stays and why, how damage is mended."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.commands import lading, lading_json, refused
from support.registries import Image, digest_of, make_image, push_blob, push_image
from support.servers import Server, start_server
from support.waiting import wait_for


@pytest.fixture(scope="module")
def kept() -> Iterator[Server]:
    """One server for all tests of this file; each leaves all content whole and nothing to collect."""
    with start_server("nginx") as server:
        yield server


def push(server: Server, name: str, image: Image) -> None:
    with server.client(name=None) as client:
        push_image(client, name, "latest", image, server.bearer(f"repository:{name}:pull,push"))


def delete(server: Server, name: str, image: Image) -> None:
    with server.client(name=None) as client:
        headers = server.bearer(f"repository:{name}:delete")
        assert client.delete(f"/v2/{name}/manifests/{image.digest}", headers=headers).status_code == 202


def status_of(server: Server, name: str, data: bytes) -> int:
    with server.client(name=None) as client:
        headers = server.bearer(f"repository:{name}:pull")
        answer = client.get(f"/v2/{name}/blobs/{digest_of(data)}", headers=headers)
        assert answer.status_code != 200 or answer.content == data
        return answer.status_code


def files_of(server: Server, data: bytes) -> list[Path]:
    return list((server.data / "blobs").rglob(digest_of(data).removeprefix("sha256:") + ".*"))


# --- gc ---------------------------------------------------------------------------------------------------------------


def outlook(server: Server, *words: str) -> Any:
    return lading_json("gc", "--dry-run", *words, "--data", server.data)["outlook"]


def test_what_was_deleted_goes_after_the_grace_time_or_at_once_with_now(kept: Server) -> None:
    gone, stays = make_image(), make_image()
    push(kept, "admin/gone", gone)
    push(kept, "admin/stays", stays)
    assert outlook(kept)["protected"]["count"] == 0
    delete(kept, "admin/gone", gone)
    size = sum(len(blob) for blob in (gone.config, *gone.layers))
    told = outlook(kept)
    assert told["collectable"] == {"count": 0, "size_bytes": 0}
    assert told["protected"] == {"count": 3, "size_bytes": size}
    assert told["protected_until"] is not None
    assert lading_json("gc", "--data", kept.data)["collected"]["blobs"]["count"] == 0
    assert outlook(kept, "--now")["collectable"] == {"count": 3, "size_bytes": size}
    assert all(files_of(kept, blob) for blob in (gone.config, *gone.layers))  # dry runs change nothing
    done = lading_json("gc", "--now", "--data", kept.data)
    assert done["collected"]["blobs"] == {"count": 3, "size_bytes": size}
    assert done["outlook"]["protected"]["count"] == 0
    assert not any(files_of(kept, blob) for blob in (gone.config, *gone.layers))
    assert [status_of(kept, "admin/gone", blob) for blob in gone.layers] == [404, 404]
    assert [status_of(kept, "admin/stays", blob) for blob in stays.layers] == [200, 200]


def test_a_layer_that_another_image_has_stays(kept: Server) -> None:
    image = make_image()
    push(kept, "admin/one", image)
    push(kept, "admin/two", image)
    delete(kept, "admin/one", image)
    lading("gc", "--now", "--data", kept.data)
    assert [status_of(kept, "admin/two", blob) for blob in image.layers] == [200, 200]
    assert [status_of(kept, "admin/one", blob) for blob in image.layers] == [404, 404]


def test_people_are_told_why_space_is_not_free_yet(kept: Server) -> None:
    image = make_image(layers=1, layer_bytes=3_000_000)
    push(kept, "admin/told", image)
    delete(kept, "admin/told", image)
    said = lading("gc", "--dry-run", "--data", kept.data)
    line = next(line for line in said.splitlines() if "grace time" in line)
    assert "2.9 MiB" in line
    assert "from 20" in line  # a day
    assert "freed 2.9 MiB: 2 blobs" in lading("gc", "--now", "--data", kept.data)


def test_pushes_go_on_while_others_collect_without_a_grace_time_for_deleted_content(kept: Server) -> None:
    """An image whose manifest is there is never touched, whatever is collected beside it."""
    for _ in range(5):
        old, new = make_image(), make_image()
        push(kept, "admin/old", old)
        delete(kept, "admin/old", old)
        push(kept, "admin/new", new)
        lading("gc", "--now", "--data", kept.data)
        assert [status_of(kept, "admin/new", blob) for blob in (new.config, *new.layers)] == [200, 200, 200]


def test_an_unfinished_upload_is_told_of_and_goes_after_its_lifetime(kept: Server) -> None:
    headers = kept.bearer("repository:admin/unfinished:pull,push")
    with kept.client(name=None) as client:
        location = client.post("/v2/admin/unfinished/blobs/uploads/", headers=headers).headers["location"]
        assert client.patch(location, content=b"x" * 1000, headers=headers).status_code == 202
        assert outlook(kept)["uploads"] == {"count": 1, "size_bytes": 1000}
        lading("gc", "--now", "--data", kept.data)
        assert client.get(location, headers=headers).headers["range"] == "0-999"  # younger than a week
        with closing(sqlite3.connect(kept.data / "lading.db")) as database, database:
            week = timedelta(days=7, minutes=1) // timedelta(microseconds=1)
            database.execute("UPDATE uploads SET updated_at = updated_at - ?", [week])
        assert lading_json("gc", "--data", kept.data)["collected"]["uploads"] == 1
        gone = client.get(location, headers=headers)
    assert (gone.status_code, gone.json()["errors"][0]["code"]) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert list((kept.data / "uploads").iterdir()) == []


def test_bytes_of_a_push_that_was_killed_are_collected_as_stray(kept: Server) -> None:
    stray = kept.data / "blobs" / "sha256" / "00" / f"{'0' * 64}.00000000"
    stray.parent.mkdir(exist_ok=True, parents=True)
    stray.write_bytes(b"whose row was never written")
    assert lading_json("gc", "--now", "--data", kept.data)["collected"]["stray"]["count"] == 0  # of a push that runs?
    os.utime(stray, (time.time() - 2 * 86400,) * 2)
    assert lading_json("gc", "--data", kept.data)["collected"]["stray"] == {"count": 1, "size_bytes": 27}
    assert not stray.exists()


def test_a_second_collection_beside_a_running_one_is_refused_with_one_line(kept: Server) -> None:
    hour = int((time.time() + 3600) * 1_000_000)
    with closing(sqlite3.connect(kept.data / "lading.db")) as database:
        with database:
            database.execute("INSERT INTO locks (name, holder, expires_at) VALUES ('garbage', 'another', ?)", [hour])
        assert "another collection is running" in refused("gc", "--data", kept.data, status=1)
        with database:
            database.execute("DELETE FROM locks WHERE name = 'garbage'")
    lading("gc", "--data", kept.data)


def test_a_running_server_collects_by_its_schedule() -> None:
    settings = {"LADING_GARBAGE__SCHEDULE": "* * * * * *", "LADING_GARBAGE__GRACE_HOURS": "0"}
    with start_server("nginx", settings) as server:
        image = make_image()
        push(server, "admin/scheduled", image)
        delete(server, "admin/scheduled", image)
        wait_for(lambda: not any(files_of(server, blob) for blob in (image.config, *image.layers)))


@pytest.mark.parametrize("command", ["gc", "verify"])
def test_a_folder_that_holds_no_installation_is_refused_with_one_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "a file").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("nothing", "a file", "empty"):
        said = refused(command, "--data", tmp_path / name)
        assert str(tmp_path / name) in said
        assert "--data" in said
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a file", "empty"]  # and nothing is made


def test_settings_that_can_not_be_read_are_refused_with_one_line(tmp_path: Path) -> None:
    assert "no.toml" in refused("gc", "--data", tmp_path, "--config", tmp_path / "no.toml")


# --- verify -----------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("damage", "word", "quarantined"), [(flip, "different", 1), (cut, "different", 1), (Path.unlink, "missing", 0)]
)
def test_damage_is_told_put_aside_and_mended_by_a_push(kept: Server, damage: Any, word: str, quarantined: int) -> None:
    image = make_image()
    push(kept, "admin/damaged", image)
    layer = image.layers[0]
    assert "all content is whole" in lading("verify", "--data", kept.data)
    damage(files_of(kept, layer)[0])
    said = lading("verify", "--data", kept.data, status=1)
    assert f"{word} blob {digest_of(layer)} in admin/damaged" in said
    aside = list((kept.data / "quarantine").glob(f"*{digest_of(layer).removeprefix('sha256:')}*"))
    assert len(aside) == quarantined
    assert files_of(kept, layer) == []
    assert status_of(kept, "admin/damaged", layer) == 404
    push(kept, "admin/damaged", image)
    assert status_of(kept, "admin/damaged", layer) == 200
    assert "all content is whole" in lading("verify", "--data", kept.data)


def test_without_repair_damage_is_told_and_left(kept: Server) -> None:
    image = make_image()
    push(kept, "admin/left", image)
    [file] = files_of(kept, image.layers[0])
    flip(file)
    told = lading_json("verify", "--no-repair", "--data", kept.data, status=1)
    assert told["damaged"] == [
        {
            "digest": digest_of(image.layers[0]),
            "damage": "different",
            "is_manifest": False,
            "repositories": ["admin/left"],
        }
    ]
    assert file.exists()
    flip(file)
    assert lading_json("verify", "--data", kept.data)["damaged"] == []


def test_a_damaged_manifest_is_told(kept: Server) -> None:
    image = make_image()
    push(kept, "admin/manifest", image)
    change = "UPDATE manifest_contents SET body = ? WHERE digest = ?"
    with closing(sqlite3.connect(kept.data / "lading.db")) as database:
        with database:
            database.execute(change, [image.manifest.replace(b"layer", b"later", 1), image.digest])
        said = lading("verify", "--data", kept.data, status=1)
        with database:
            database.execute(change, [image.manifest, image.digest])
    assert f"different manifest {image.digest} in admin/manifest" in said
    lading("verify", "--data", kept.data)


def test_verification_counts_what_it_read(kept: Server) -> None:
    before = lading_json("verify", "--data", kept.data)
    with kept.client(name=None) as client:
        push_blob(client, "admin/one", b"counted", kept.bearer("repository:admin/one:pull,push"))
    after = lading_json("verify", "--data", kept.data)
    assert (after["blobs"] - before["blobs"], after["manifests"] - before["manifests"]) == (1, 0)
