"""What an administrator switches: read-only mode, deletion, repositories made by pushes, anonymous access, limits."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from support.apps import Doors, Repository, open_doors
from support.registries import digest_of, make_image


async def switch(doors: Doors, **changes: bool) -> None:
    answer = await doors.client("admin").post("/api/v0/meta/settings", json=changes)
    assert answer.status_code == 202, answer.text


async def absent(doors: Doors, name: str) -> Repository:
    """A repository that is not there, with a token for all of it as its account would have."""
    return Repository(doors, name, await doors.holder("alice", f"repository:{name}:*"))


@pytest.mark.parametrize(
    "change", [{"readOnlyRegistry": True}, {"deletesEnabled": False}], ids=["read-only", "deletes off"]
)
async def test_attack_8_nothing_is_deleted_while_deletes_are_off(doors: Doors, change: dict[str, bool]) -> None:
    repository = await doors.repository("alice/app")
    image = make_image(layers=1)
    digest = await repository.push_image("latest", image)
    blob = digest_of(image.layers[0])
    upload = (await repository.ask("POST", "blobs/uploads/")).headers["docker-upload-uuid"]
    await switch(doors, **change)
    for rest in ("manifests/latest", f"manifests/{digest}", f"blobs/{blob}", f"blobs/uploads/{upload}"):
        answer = await repository.ask("DELETE", rest)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")
        assert "DELETE" not in answer.headers["allow"]
    for rest in ("manifests/latest", f"manifests/{digest}", f"blobs/{blob}"):
        assert (await repository.ask("GET", rest)).status_code == 200
    assert (await repository.ask("GET", f"blobs/uploads/{upload}")).status_code == 204


async def test_a_read_only_registry_gives_and_takes_nothing(doors: Doors) -> None:
    repository = await doors.repository("alice/app")
    image = make_image(layers=1)
    await repository.push_image("latest", image)
    upload = (await repository.ask("POST", "blobs/uploads/")).headers["docker-upload-uuid"]
    await switch(doors, readOnlyRegistry=True)
    for method, rest in (
        ("POST", "blobs/uploads/"),
        ("PATCH", f"blobs/uploads/{upload}"),
        ("PUT", f"blobs/uploads/{upload}?digest={digest_of(b'x')}"),
        ("PUT", "manifests/other"),
    ):
        answer = await repository.ask(method, rest, content=b"x")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")
        assert "read-only" in answer.json()["errors"][0]["message"]
    assert (await repository.ask("GET", "manifests/latest")).content == image.manifest
    assert (await repository.ask("GET", "tags/list")).json()["tags"] == ["latest"]
    await switch(doors, readOnlyRegistry=False)
    assert (await repository.put("other", image.manifest)).status_code == 201


async def test_a_push_to_no_repository_tells_its_owner_how_to_make_it(doors: Doors) -> None:
    repository = await absent(doors, "alice/new")
    for answer in (
        await repository.ask("POST", "blobs/uploads/"),
        await repository.put("latest", make_image().manifest),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
        assert "lading repo create alice/new" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("first", ["blob", "manifest"])
async def test_a_push_makes_the_repository_where_that_is_switched_on(doors: Doors, first: str) -> None:
    await switch(doors, createRepositoryOnPush=True)
    repository = await absent(doors, "alice/new/deep")
    if first == "blob":
        await repository.push_blob(b"content")
    else:
        assert (await repository.put("latest", make_image().manifest)).status_code == 201
    made = (await doors.client("alice").get("/api/v0/repositories/alice/new%2Fdeep")).json()
    assert (made["name"], made["visibility"]) == ("new/deep", "private")


async def test_no_push_makes_a_repository_in_somebodys_namespace(doors: Doors) -> None:
    await switch(doors, createRepositoryOnPush=True)
    repository = await absent(doors, "bob/new")
    assert (await repository.ask("POST", "blobs/uploads/")).status_code == 401
    assert (await doors.client("bob").get("/api/v0/repositories/bob/new")).status_code == 404


async def test_pulls_and_pushes_are_counted(doors: Doors) -> None:
    repository = await doors.repository("alice/app")
    await repository.put("latest", make_image().manifest)
    for method in ("GET", "GET", "HEAD"):
        await repository.ask(method, "manifests/latest")
    await doors.made.registry.pulls.write_counts()
    counted = (await doors.client("alice").get("/api/v0/repositories/alice/app")).json()
    assert (counted["pulls"], counted["pushes"]) == (2, 1)


# --- settings of the file ----------------------------------------------------------------------------------------------


async def test_strangers_pull_nothing_where_anonymous_access_is_off(upgraded_url: str, tmp_path: Path) -> None:
    async with open_doors(upgraded_url, tmp_path / "data", anonymous_access=False) as doors:
        repository = await doors.repository("alice/app", visibility="public")
        await repository.put("latest", make_image().manifest)
        stranger = Repository(doors, repository.name, await doors.holder(None, "repository:alice/app:pull"))
        assert (await stranger.ask("GET", "manifests/latest")).status_code == 401
        bobs = Repository(doors, repository.name, await doors.holder("bob", "repository:alice/app:pull"))
        assert (await bobs.ask("GET", "manifests/latest")).status_code == 200


async def test_an_image_must_be_whole_where_sparse_ones_are_off(upgraded_url: str, tmp_path: Path) -> None:
    async with open_doors(upgraded_url, tmp_path / "data", sparse_images=False) as doors:
        repository = await doors.repository("alice/app")
        image = make_image(layers=2)
        for blob in (image.config, image.layers[0]):
            await repository.push_blob(blob)
        answer = await repository.put("latest", image.manifest)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "MANIFEST_BLOB_UNKNOWN")
        assert answer.json()["errors"][0]["detail"] == [{"digest": digest_of(image.layers[1])}]
        await repository.push_blob(image.layers[1])
        assert (await repository.put("latest", image.manifest)).status_code == 201


@pytest.mark.parametrize("told", [True, False], ids=["length told", "streamed"])
async def test_a_blob_beyond_the_limit_is_refused(upgraded_url: str, tmp_path: Path, *, told: bool) -> None:
    async def stream(data: bytes) -> Any:
        yield data

    async with open_doors(upgraded_url, tmp_path / "data", blob_limit_bytes=100) as doors:
        repository = await doors.repository("alice/app")
        await repository.push_blob(secrets.token_bytes(100))
        data = secrets.token_bytes(101)
        answer = await repository.ask(
            "POST", "blobs/uploads/", params={"digest": digest_of(data)}, content=data if told else stream(data)
        )
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "SIZE_INVALID")
        assert (await repository.ask("HEAD", f"blobs/{digest_of(data)}")).status_code == 404
