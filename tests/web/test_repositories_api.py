"""DTR's endpoints of repositories and tags, over both databases."""

import httpx
import pytest
from sqlalchemy import func, select

from lading.core.clock import SystemClock
from lading.core.digests import Digest
from lading.events.tables import events
from lading.registry import store
from lading.registry.manifests import parse_manifest
from lading.registry.tables import tags
from support.apps import Doors
from support.registries import make_image

REPOSITORY_KEYS = {
    "id", "namespace", "namespaceType", "name", "shortDescription", "longDescription", "visibility", "scanOnPush",
    "immutableTags", "enableManifestLists", "pulls", "pushes", "tagLimit",
}  # fmt: skip


async def make(client: httpx.AsyncClient, name: str, **form: object) -> dict[str, object]:
    namespace, _, rest = name.partition("/")
    answer = await client.post(f"/api/v0/repositories/{namespace}", json={"name": rest, **form})
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made


async def push(doors: Doors, repository: dict[str, object], *names: str) -> str:
    image = make_image()
    digest = Digest.of(image.manifest)
    content = parse_manifest(image.manifest, "application/vnd.oci.image.manifest.v1+json")
    now, repository_id = SystemClock().now(), str(repository["id"])
    async with doors.database.write() as unit:
        await store.put_manifest(unit, repository_id, digest, image.manifest, content, pushed_by=None, now=now)
        for tag in names:
            await store.put_tag(unit, repository_id, tag, digest, author=None, now=now)
    return digest.text


def code(answer: httpx.Response) -> str:
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    return str(answer.json()["errors"][0]["code"])


async def test_a_repository_is_made_read_changed_and_deleted(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        made = await make(alice, "alice/app", shortDescription="hi")
        assert set(made) == REPOSITORY_KEYS
        assert (made["visibility"], made["namespaceType"], made["shortDescription"]) == ("private", "user", "hi")
        path = "/api/v0/repositories/alice/app"
        changed = await alice.patch(path, json={"visibility": "public", "tagLimit": 5})
        assert (changed.status_code, changed.json()["visibility"]) == (200, "public")
        assert (await alice.get(path)).json() == changed.json()
        assert (await alice.delete(path)).status_code == 204
        assert code(await alice.get(path)) == "NO_SUCH_REPOSITORY"
    async with doors.database.read() as connection:
        kinds = await connection.scalars(
            select(events.c.type).where(events.c.repository == "alice/app").order_by(events.c.id)
        )
        assert list(kinds) == ["CREATE", "UPDATE", "DELETE"]


async def test_deeper_names_are_one_segment_with_an_escaped_slash(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        await make(alice, "alice/tags")
        await make(alice, "alice/tags/tags")
        answer = await alice.get("/api/v0/repositories/alice/tags%2Ftags")
        assert answer.json()["name"] == "tags/tags"
        assert (await alice.get("/api/v0/repositories/alice/tags%2Ftags/tags")).json() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/tags"), ("GET", "/tags/1"), ("DELETE", "/tags/1"),
        ("GET", "/manifests"), ("DELETE", f"/manifests/sha256:{'0' * 64}"),
    ],
)  # fmt: skip
async def test_what_a_caller_may_not_see_answers_as_what_is_missing(doors: Doors, method: str, path: str) -> None:
    async with doors.client("alice") as alice, doors.client("bob") as bob:
        await push(doors, await make(alice, "alice/app"), "1")
        body: dict[str, str] | None = {} if method == "PATCH" else None
        hidden = await bob.request(method, f"/api/v0/repositories/alice/app{path}", json=body)
        missing = await bob.request(method, f"/api/v0/repositories/alice/nop{path}", json=body)
        assert hidden.status_code == missing.status_code == 404
        assert hidden.json()["errors"][0]["message"].replace("app", "nop") == missing.json()["errors"][0]["message"]
        assert code(hidden) == code(missing) == "NO_SUCH_REPOSITORY"


async def test_a_public_repository_is_seen_by_all_and_changed_by_its_owner_only(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client("bob") as bob, doors.client() as anonymous:
        await make(alice, "alice/app", visibility="public")
        path = "/api/v0/repositories/alice/app"
        assert (await anonymous.get(path)).status_code == 200
        assert (await bob.patch(path, json={"visibility": "private"})).status_code == 403
        assert (await bob.delete(path)).status_code == 403
        assert (await anonymous.delete(path)).status_code == 401
        assert (await bob.post("/api/v0/repositories/alice", json={"name": "x"})).status_code == 403
        assert (await bob.post("/api/v0/repositories/nobody", json={"name": "x"})).status_code == 403


async def test_lists_show_what_the_caller_may_view_page_by_page(doors: Doors) -> None:
    async with doors.client("alice") as alice, doors.client("bob") as bob, doors.client("admin") as admin:
        for number in range(5):
            await make(alice, f"alice/r{number}", visibility="public" if number % 2 else "private")
        await make(bob, "bob/own")

        async def names(client: httpx.AsyncClient, path: str) -> list[str]:
            found, start = [], ""
            while True:
                answer = await client.get(path, params={"pageSize": 2, "pageStart": start, "count": "true"})
                found += [f"{item['namespace']}/{item['name']}" for item in answer.json()["repositories"]]
                start = answer.headers.get("x-next-page-start", "")
                if not start:
                    assert int(answer.headers["x-resource-count"]) == len(found)
                    return found

        assert await names(bob, "/api/v0/repositories") == ["alice/r1", "alice/r3", "bob/own"]
        assert await names(bob, "/api/v0/repositories/alice") == ["alice/r1", "alice/r3"]
        assert len(await names(admin, "/api/v0/repositories")) == 6
        assert code(await alice.get("/api/v0/repositories/bob")) == "NO_SUCH_ACCOUNT"
        assert code(await alice.get("/api/v0/repositories/nobody")) == "NO_SUCH_ACCOUNT"
        assert (await bob.get("/api/v0/repositories/bob")).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "word"),
    [
        ({"name": "app"}, 400, "REPOSITORY_EXISTS"),
        ({"name": "Bad Name"}, 400, "NAME_INVALID"),
        ({"name": "../x"}, 400, "NAME_INVALID"),
        ({"name": "x", "visibility": "secret"}, 400, "INVALID_REPOSITORY_VISIBILITY"),
        ({"name": "x", "tagLimit": -1}, 400, "INVALID_PARAMETERS"),
        ({"name": "x", "tagLimit": 3, "immutableTags": True}, 400, "INVALID_PARAMETERS"),
        ({}, 400, "INVALID_PARAMETERS"),
    ],
)
async def test_a_wrong_form_is_refused(doors: Doors, form: dict[str, object], status: int, word: str) -> None:
    async with doors.client("alice") as alice:
        await make(alice, "alice/app")
        answer = await alice.post("/api/v0/repositories/alice", json=form)
        assert (answer.status_code, code(answer)) == (status, word)


async def test_tags_are_listed_read_and_deleted(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        repository = await make(alice, "alice/app")
        digest = await push(doors, repository, "a", "b", "c")
        base = "/api/v0/repositories/alice/app"
        listed = await alice.get(f"{base}/tags", params={"pageSize": 2, "count": "true", "includeManifests": "true"})
        assert [item["name"] for item in listed.json()] == ["a", "b"]
        assert (listed.headers["x-next-page-start"], listed.headers["x-resource-count"]) == ("c", "3")
        first = listed.json()[0]
        assert {"author", "createdAt", "digest", "hashMismatch", "inNotary", "manifest", "name", "updatedAt"} <= set(
            first
        )
        assert (first["digest"], first["manifest"]["digest"], first["inNotary"]) == (digest, digest, False)
        assert [item["name"] for item in (await alice.get(f"{base}/tags/a")).json()] == ["a"]
        assert [item["name"] for item in (await alice.get(f"{base}/tags/{digest}")).json()] == ["a", "b", "c"]
        assert (await alice.delete(f"{base}/tags/a")).status_code == 204
        assert code(await alice.delete(f"{base}/tags/a")) == "NO_SUCH_TAG"
        assert code(await alice.get(f"{base}/tags/a")) == "NO_SUCH_REF"
        assert [item["digest"] for item in (await alice.get(f"{base}/manifests")).json()] == [digest]
        assert (await alice.delete(f"{base}/manifests/{digest}")).status_code == 204
        assert (await alice.get(f"{base}/tags")).json() == []
        assert code(await alice.delete(f"{base}/manifests/latest")) == "INVALID_DIGEST"


async def test_an_immutable_tag_is_deleted_neither_by_name_nor_by_digest(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        digest = await push(doors, await make(alice, "alice/app", immutableTags=True), "1")
        base = "/api/v0/repositories/alice/app"
        assert (await alice.delete(f"{base}/tags/1")).status_code == 409
        assert (await alice.delete(f"{base}/manifests/{digest}")).status_code == 409
        assert len((await alice.get(f"{base}/tags")).json()) == 1


@pytest.mark.parametrize("change", [{"readOnlyRegistry": True}, {"deletesEnabled": False}])
async def test_attack_8_nothing_is_deleted_while_deletes_are_off(doors: Doors, change: dict[str, bool]) -> None:
    async with doors.client("alice") as alice, doors.client("admin") as admin:
        digest = await push(doors, await make(alice, "alice/app"), "1")
        assert (await admin.post("/api/v0/meta/settings", json=change)).status_code == 202
        for path in ("/tags/1", f"/manifests/{digest}", ""):
            assert (await alice.delete(f"/api/v0/repositories/alice/app{path}")).status_code == 405
        assert len((await alice.get("/api/v0/repositories/alice/app/tags")).json()) == 1


@pytest.mark.parametrize("size", ["0", "-1", "ten", "1e3"])
async def test_attack_2_a_wrong_page_size_is_refused(doors: Doors, size: str) -> None:
    async with doors.client("alice") as alice:
        answer = await alice.get("/api/v0/repositories", params={"pageSize": size})
        assert (answer.status_code, code(answer)) == (400, "INVALID_PARAMETERS")


async def test_attack_2_a_huge_page_size_is_clamped(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        assert (await alice.get("/api/v0/repositories", params={"pageSize": str(10**22)})).status_code == 200


@pytest.mark.parametrize("text", ["' OR 1=1 --", '"; DROP TABLE tags; --', "%", "_", "\\", "\u0000"])
async def test_attack_18_text_for_sql_is_only_text(doors: Doors, text: str) -> None:
    async with doors.client("admin") as admin:
        await push(doors, await make(admin, "admin/app"), "1")
        for path in ("/api/v0/repositories", "/api/v0/repositories/admin/app/tags", "/api/v0/api_tokens"):
            assert (await admin.get(path, params={"pageStart": text})).status_code in {200, 400}
        found = await admin.get("/enzi/v0/accounts", params={"contains": text})
        assert found.status_code == 400 or found.json()["accounts"] == []
        filtered = await admin.get("/enzi/v0/accounts", params={"filter": "password_hash"})
        assert filtered.status_code == 400
    async with doors.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(tags)) == 1
