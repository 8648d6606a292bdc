"""Mounting a blob from another repository. Source: OCI distribution spec 1.1, "Mounting a blob from another repository"."""

import secrets

import httpx
import pytest

from support.apps import Repository
from support.registries import digest_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


def new_name(namespace: str) -> str:
    return f"{namespace}/{secrets.token_hex(6)}"


async def mount(target: Repository, digest: str, source: str | None) -> httpx.Response:
    params = {"mount": digest} if source is None else {"mount": digest, "from": source}
    return await target.ask("POST", "blobs/uploads/", params=params)


async def holding(repository: Repository, *others: str) -> Repository:
    """The repository with a token that was asked to read the others, too."""
    scopes = [f"repository:{repository.name}:pull,push", *(f"repository:{other}:pull" for other in others)]
    return Repository(repository.doors, repository.name, await repository.doors.holder("alice", *scopes))


async def check_begun(target: Repository, answer: httpx.Response, digest: str) -> None:
    """The upload began as any other, and the blob is not here."""
    assert answer.status_code == 202
    assert answer.headers["docker-upload-uuid"] in answer.headers["location"]
    assert (await target.ask("HEAD", f"blobs/{digest}")).status_code == 404


@pytest.mark.parametrize("named", [True, False], ids=["from", "without from"])
async def test_a_blob_is_mounted_from_where_the_caller_may_read(repository: Repository, *, named: bool) -> None:
    source = await repository.doors.repository(new_name("alice"))
    data = secrets.token_bytes(100)
    digest = await source.push_blob(data)
    target = await holding(repository, source.name)
    answer = await mount(target, digest, source.name if named else None)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v2/{target.name}/blobs/{digest}"
    assert answer.headers["docker-content-digest"] == digest
    assert (await target.ask("GET", f"blobs/{digest}")).content == data


async def test_a_blob_is_mounted_from_somebodys_public_repository(repository: Repository) -> None:
    source = await repository.doors.repository(new_name("bob"), visibility="public")
    digest = await source.push_blob(secrets.token_bytes(100))
    target = await holding(repository, source.name)
    assert (await mount(target, digest, source.name)).status_code == 201


@pytest.mark.parametrize("named", [True, False], ids=["from", "without from"])
async def test_attack_5_a_blob_of_a_repository_that_the_caller_may_not_read_is_not_mounted(
    repository: Repository, *, named: bool
) -> None:
    source = await repository.doors.repository(new_name("bob"))
    digest = await source.push_blob(secrets.token_bytes(100))
    target = await holding(repository, source.name)
    await check_begun(target, await mount(target, digest, source.name if named else None), digest)


async def test_attack_6_an_unknown_digest_is_answered_as_one_that_may_not_be_read(repository: Repository) -> None:
    hidden = await repository.doors.repository(new_name("bob"))
    digest = await hidden.push_blob(secrets.token_bytes(100))
    target = await holding(repository, hidden.name)
    answers = [await mount(target, asked, hidden.name) for asked in (digest, digest_of(secrets.token_bytes(8)))]
    assert {answer.status_code for answer in answers} == {202}
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1


@pytest.mark.parametrize("source", ["alice/does-not-exist", "nobody/at-all", "Not A Name", "single"])
async def test_a_mount_from_nowhere_begins_an_upload(repository: Repository, source: str) -> None:
    target = await holding(repository, source)
    digest = digest_of(secrets.token_bytes(8))
    await check_begun(target, await mount(target, digest, source), digest)


async def test_a_token_that_was_not_asked_about_the_source_is_challenged_for_both(repository: Repository) -> None:
    source = await repository.doors.repository(new_name("alice"))
    digest = await source.push_blob(secrets.token_bytes(100))
    answer = await mount(await holding(repository), digest, source.name)
    assert answer.status_code == 401
    assert f"repository:{repository.name}:pull,push repository:{source.name}:pull" in answer.headers["www-authenticate"]


async def test_an_upload_that_a_mount_began_takes_the_bytes(repository: Repository) -> None:
    data = secrets.token_bytes(100)
    digest = digest_of(data)
    begun = await mount(repository, digest, None)
    assert begun.status_code == 202
    finished = await repository.client.put(begun.headers["location"], params={"digest": digest}, content=data)
    assert finished.status_code == 201


async def test_a_mount_of_what_is_here_already_says_so(repository: Repository) -> None:
    digest = await repository.push_blob(secrets.token_bytes(100))
    assert (await mount(repository, digest, repository.name)).status_code == 201


async def test_a_mount_of_what_is_no_digest_is_refused(repository: Repository) -> None:
    answer = await mount(repository, "nonsense", None)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")
