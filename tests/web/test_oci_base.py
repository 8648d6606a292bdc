"""`/v2/` itself: challenges, names, and paths that lead nowhere. Source: OCI distribution spec 1.1; RFC 6750."""

import secrets

import pytest

from lading.events.log import SYSTEM
from support.apps import PASSWORD, SERVICE, Doors, Repository
from support.registries import make_image

pytestmark = pytest.mark.asyncio(loop_scope="session")

ABSENT = "sha256:" + "0" * 64


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
async def test_the_base_tells_a_stranger_where_to_fetch_a_token(shared_doors: Doors, path: str) -> None:
    answer = await shared_doors.client().get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'Bearer realm="https://{SERVICE}/auth/token",service="{SERVICE}"'
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", ["alice", None])
async def test_the_base_welcomes_who_holds_a_token(shared_doors: Doors, method: str, name: str | None) -> None:
    answer = await (await shared_doors.holder(name)).request(method, "/v2/")
    assert answer.status_code == 200
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


async def test_a_realm_is_never_a_host_that_is_not_ours(shared_doors: Doors) -> None:
    for host, realm in (("localhost:5443", "localhost:5443"), ("evil.example", SERVICE)):
        answer = await shared_doors.client().get("/v2/", headers={"Host": host})
        assert f'realm="https://{realm}/auth/token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer ", "Basic YWxpY2U6eA==", "nonsense"])
async def test_a_wrong_credential_is_as_none(shared_doors: Doors, header: str) -> None:
    given, none = [
        await shared_doors.client(headers=headers).get("/v2/") for headers in ({"Authorization": header}, {})
    ]
    assert given.status_code == 401
    assert given.headers["www-authenticate"] == none.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("method", "rest", "actions"),
    [
        ("GET", "tags/list", "pull"),
        ("GET", "manifests/latest", "pull"),
        ("PUT", "manifests/latest", "pull,push"),
        ("DELETE", "manifests/latest", "delete"),
        ("GET", f"blobs/{ABSENT}", "pull"),
        ("HEAD", f"blobs/{ABSENT}", "pull"),
        ("DELETE", f"blobs/{ABSENT}", "delete"),
        ("POST", "blobs/uploads/", "pull,push"),
        ("PATCH", "blobs/uploads/x", "push"),
        ("PUT", "blobs/uploads/x", "push"),
        ("GET", "blobs/uploads/x", "push"),
        ("DELETE", "blobs/uploads/x", "push"),
        ("GET", f"referrers/{ABSENT}", "pull"),
    ],
)
async def test_a_challenge_names_the_scope_and_is_the_same_for_what_does_not_exist(
    repository: Repository, method: str, rest: str, actions: str
) -> None:
    hidden = Repository(repository.doors, repository.name, repository.doors.client())
    missing = Repository(repository.doors, f"alice/{secrets.token_hex(6)}", repository.doors.client())
    for asked in (hidden, missing):
        answer = await asked.ask(method, rest)
        assert answer.status_code == 401
        assert f'scope="repository:{asked.name}:{actions}"' in answer.headers["www-authenticate"]


async def test_a_token_of_too_few_rights_is_challenged_for_more(repository: Repository) -> None:
    client = await repository.doors.holder("alice", f"repository:{repository.name}:pull")
    answer = await Repository(repository.doors, repository.name, client).put("latest", b"{}")
    assert answer.status_code == 401
    assert (
        f'scope="repository:{repository.name}:pull,push",error="insufficient_scope"'
        in (answer.headers["www-authenticate"])
    )


async def test_a_disabled_users_token_is_over_at_once(shared_doors: Doors) -> None:
    name = f"user{secrets.token_hex(4)}"
    await shared_doors.parts.users.create(name, PASSWORD, by=SYSTEM)
    repository = await shared_doors.repository(f"{name}/app")
    assert (await repository.ask("GET", "tags/list")).status_code == 200
    off = await shared_doors.client("admin").patch(f"/enzi/v0/accounts/{name}", json={"isActive": False})
    assert off.status_code == 200
    for path in (f"/v2/{name}/app/tags/list", "/v2/"):
        answer = await repository.client.get(path)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "name",
    [
        "a", "a/b/c/d", "tags", "tags/list", "manifests", "manifests/latest", "blobs/uploads", "blobs/uploads/x",
        "uploads", "referrers", "a.b_c__d-e--f", "v2", "catalog", "x" * 200,
    ],
)  # fmt: skip
async def test_a_name_may_be_deep_and_hold_the_protocols_own_words(shared_doors: Doors, name: str) -> None:
    repository = await shared_doors.repository(f"alice/{secrets.token_hex(4)}/{name}")
    image = make_image(layers=1)
    digest = await repository.push_image("latest", image)
    assert (await repository.ask("GET", "manifests/latest")).content == image.manifest
    assert (await repository.ask("GET", f"blobs/{await repository.push_blob(b'')}")).status_code == 200
    assert (await repository.ask("GET", "tags/list")).json() == {"name": repository.name, "tags": ["latest"]}
    assert (await repository.ask("GET", f"referrers/{digest}")).status_code == 200


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("app", "NAMESPACE"),
        ("Alice/app", "lower-case"),
        ("alice/-app", "repository's name"),
        ("alice/a..b", "repository's name"),
        ("alice/" + "x" * 250, "at most 255"),
    ],
)
async def test_what_is_no_name_is_told_why(shared_doors: Doors, path: str, word: str) -> None:
    answer = await shared_doors.client().get(f"/v2/{path}/tags/list")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "NAME_INVALID")
    assert word in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("method", "rest", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "tags", 404),
        ("GET", "blobs", 404),
        ("POST", "tags/list", 405),
        ("POST", "manifests/latest", 405),
        ("PATCH", "manifests/latest", 405),
        ("PUT", f"blobs/{ABSENT}", 405),
        ("GET", "blobs/uploads/", 405),
        ("POST", "blobs/uploads/x", 405),
        ("DELETE", f"referrers/{ABSENT}", 405),
    ],
)
async def test_what_is_no_endpoint_is_unsupported(repository: Repository, method: str, rest: str, status: int) -> None:
    answer = await repository.ask(method, rest)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("method", "rest", "possible"),
    [
        ("POST", "tags/list", "GET"),
        ("PATCH", "manifests/latest", "DELETE, GET, HEAD, PUT"),
        ("PUT", f"blobs/{ABSENT}", "DELETE, GET, HEAD"),
        ("GET", "blobs/uploads/", "POST"),
        ("POST", "blobs/uploads/x", "DELETE, GET, PATCH, PUT"),
    ],
)
async def test_a_method_that_is_not_possible_is_told_which_are(
    repository: Repository, method: str, rest: str, possible: str
) -> None:
    """Source: RFC 9110, 15.5.6."""
    assert (await repository.ask(method, rest)).headers["allow"] == possible


async def test_answers_of_all_kinds_name_the_version_of_the_protocol(repository: Repository) -> None:
    digest = await repository.push_blob(b"content")
    answers = [
        await repository.doors.client().get("/v2/"),
        await repository.client.get("/v2/"),
        await repository.ask("GET", f"blobs/{digest}"),
        await repository.ask("HEAD", f"blobs/{digest}"),
        await repository.ask("GET", f"blobs/{digest}", headers={"If-None-Match": f'"{digest}"'}),
        await repository.ask("GET", f"blobs/{ABSENT}"),
        await repository.ask("POST", "blobs/uploads/"),
        await repository.ask("GET", "tags/list"),
        await repository.ask("GET", f"referrers/{digest}"),
        await repository.put("latest", b"nonsense"),
        await repository.put("latest", make_image().manifest),
        await repository.ask("DELETE", "manifests/latest"),
        await repository.ask("GET", "nothing"),
    ]
    assert [answer.status_code for answer in answers] == [
        401, 200, 200, 200, 304, 404, 202, 200, 200, 400, 201, 202, 404,
    ]  # fmt: skip
    assert {answer.headers.get("docker-distribution-api-version") for answer in answers} == {"registry/2.0"}
