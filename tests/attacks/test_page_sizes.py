"""Attack row 2: whatever page size is asked for, a page stays a page."""

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from attacks.scenes import in_database
from lading.core.names import RepositoryName
from lading.database import Database
from lading.registry.creation import create_repository
from support.registries import OCI_MANIFEST, descriptor, digest_of, make_image, push_image
from support.servers import Server, start_server

PAGE = 1000  # of the OCI lists
LARGEST_PAGE_BYTES = 16 * 1024 * 1024  # 10,000 entries of the REST lists, generously
NAME = "admin/crowd"
SUBJECT = make_image()
HUGE = ["1000000000000", str(2**63), str(2**64), "9" * 40, "9" * 5000]
NO_NUMBERS = ["-1", "-1000000000000", "ten", "1.5", "1e12", "0x10", "NaN", "Infinity", "1;2", "--"]


@pytest.fixture(scope="module", params=["nginx", "none"])
def crowded(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of our own, because no other test should meet its crowd: more tags, repositories and referrers than a page."""

    async def add_repositories(database: Database) -> None:
        async with database.write() as unit:
            for number in range(PAGE + 1):
                name = RepositoryName(f"admin/crowd-{number:04}")
                await create_repository(unit, name, by=None, now=datetime.now(UTC))

    with start_server(request.param) as server:
        token = server.bearer(f"repository:{NAME}:pull,push")
        with server.client(name=None) as client:
            push_image(client, NAME, "latest", SUBJECT, token)
            for start in range(0, PAGE + 1, 100):
                tags = [f"t{number:04}" for number in range(start, start + 100)]
                put(client, SUBJECT.digest, SUBJECT.manifest, token, tags)
            for number in range(PAGE + 1):
                referrer = make_image(
                    layers=0, subject=descriptor(SUBJECT.manifest, OCI_MANIFEST), annotations={"number": str(number)}
                )
                put(client, referrer.digest, referrer.manifest, token, [])
        in_database(server, add_repositories)
        yield server


def put(client: httpx.Client, reference: str, body: bytes, token: dict[str, str], tags: list[str]) -> None:
    answer = client.put(
        f"/v2/{NAME}/manifests/{reference}",
        content=body,
        params={"tag": tags},
        headers={**token, "Content-Type": OCI_MANIFEST},
    )
    assert answer.status_code == 201, answer.text


LISTS = {
    "/v2/_catalog": "repositories",
    f"/v2/{NAME}/tags/list": "tags",
    f"/v2/{NAME}/referrers/{digest_of(SUBJECT.manifest)}": "manifests",
}


@pytest.mark.parametrize("path", LISTS, ids=LISTS.values())
def test_attack_2_a_huge_page_of_v2_is_a_page(crowded: Server, path: str) -> None:
    token = crowded.bearer(f"repository:{NAME}:pull", "registry:catalog:*")
    with crowded.client(name=None) as client:
        for size in HUGE:
            answer = client.get(path, params={"n": size}, headers=token)
            assert answer.status_code == 200, size
            assert len(answer.json()[LISTS[path]]) == PAGE, size
            assert 'rel="next"' in answer.headers["link"]


@pytest.mark.parametrize("path", LISTS, ids=LISTS.values())
def test_attack_2_a_page_size_of_v2_that_is_no_number_is_refused(crowded: Server, path: str) -> None:
    token = crowded.bearer(f"repository:{NAME}:pull", "registry:catalog:*")
    with crowded.client(name=None) as client:
        for size in NO_NUMBERS:
            answer = client.get(path, params={"n": size}, headers=token)
            refused = answer.status_code, answer.json()["errors"][0]["code"]
            assert refused == (400, "PAGINATION_NUMBER_INVALID"), size


REST_LISTS = {
    "/api/v0/repositories": "pageSize",
    "/api/v0/repositories/admin": "pageSize",
    f"/api/v0/repositories/{NAME}/tags": "pageSize",
    f"/api/v0/repositories/{NAME}/manifests": "pageSize",
    "/api/v0/api_tokens": "pageSize",
    "/enzi/v0/accounts": "limit",
}


@pytest.mark.parametrize("path", REST_LISTS)
def test_attack_2_a_huge_page_of_the_rest_api_is_bounded_or_refused(crowded: Server, path: str) -> None:
    with crowded.client() as client:
        for size in HUGE:
            answer = client.get(path, params={REST_LISTS[path]: size})
            assert answer.status_code in {200, 400}, size
            assert len(answer.content) < LARGEST_PAGE_BYTES


@pytest.mark.parametrize("path", REST_LISTS)
def test_attack_2_a_page_size_of_the_rest_api_that_is_no_number_is_refused(crowded: Server, path: str) -> None:
    with crowded.client() as client:
        for size in ("0", *NO_NUMBERS):
            answer = client.get(path, params={REST_LISTS[path]: size})
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "INVALID_PARAMETERS"), size
