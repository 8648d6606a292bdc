"""Referrers: who names a manifest as its subject. Source: OCI distribution spec 1.1, "Listing Referrers"."""

import json
import secrets
from typing import Any

import pytest

from lading.core.media_types import OCI_INDEX
from support.apps import Repository, follow_links
from support.registries import CONFIG, OCI_MANIFEST, descriptor, digest_of, make_image

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUBJECT = descriptor(b"a manifest that need not be here", OCI_MANIFEST)
SBOM, SIGNATURE = "application/vnd.example.sbom", "application/vnd.example.signature"


def referrer(**more: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(make_image().manifest)
    return document | {"subject": SUBJECT} | more


async def listed(repository: Repository, **query: str) -> list[dict[str, Any]]:
    answer = await repository.ask("GET", f"referrers/{SUBJECT['digest']}", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["manifests"]
    return found


async def test_a_referrer_is_listed_with_its_type_and_annotations(repository: Repository) -> None:
    document = referrer(artifactType=SBOM, annotations={"org.example.made": "today", "empty": ""})
    digest = await repository.push("", document)
    answer = await repository.ask("GET", f"referrers/{SUBJECT['digest']}")
    assert answer.headers["content-type"] == OCI_INDEX
    assert answer.json() == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": digest,
                "size": len(json.dumps(document).encode()),
                "artifactType": SBOM,
                "annotations": {"org.example.made": "today", "empty": ""},
            }
        ],
    }


async def test_an_image_shows_the_type_of_its_config_when_it_tells_no_other(repository: Repository) -> None:
    await repository.push("", referrer())
    assert [item["artifactType"] for item in await listed(repository)] == [CONFIG]


async def test_an_index_refers_too(repository: Repository) -> None:
    plain = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": SUBJECT}
    digests = {await repository.push("", plain), await repository.push("", plain | {"artifactType": SBOM})}
    found = await listed(repository)
    assert {item["digest"] for item in found} == digests
    assert {item.get("artifactType") for item in found} == {None, SBOM}
    assert {item["mediaType"] for item in found} == {OCI_INDEX}


async def test_a_filter_keeps_one_type_and_says_that_it_was_applied(repository: Repository) -> None:
    for artifact_type in (SBOM, SBOM, SIGNATURE):
        await repository.push("", referrer(artifactType=artifact_type))
    for artifact_type, count in ((SBOM, 2), (SIGNATURE, 1), ("application/vnd.example.none", 0)):
        answer = await repository.ask("GET", f"referrers/{SUBJECT['digest']}", params={"artifactType": artifact_type})
        assert answer.headers["oci-filters-applied"] == "artifactType"
        assert [item["artifactType"] for item in answer.json()["manifests"]] == [artifact_type] * count
    answer = await repository.ask("GET", f"referrers/{SUBJECT['digest']}")
    assert "oci-filters-applied" not in answer.headers
    assert len(answer.json()["manifests"]) == 3


@pytest.mark.parametrize("filtered", [True, False], ids=["filtered", "all"])
async def test_links_lead_through_all_referrers(repository: Repository, *, filtered: bool) -> None:
    wanted = {await repository.push("", referrer(artifactType=SBOM)) for _ in range(5)}
    others = {await repository.push("", referrer(artifactType=SIGNATURE)) for _ in range(2)}
    target = f"/v2/{repository.name}/referrers/{SUBJECT['digest']}?n=2"
    answers = await follow_links(repository.client, target + (f"&artifactType={SBOM}" if filtered else ""))
    pages = [answer.json()["manifests"] for answer in answers]
    found = [item["digest"] for page in pages for item in page]
    assert sorted(found) == sorted(wanted if filtered else wanted | others)
    assert [len(page) for page in pages] == ([2, 2, 1] if filtered else [2, 2, 2, 1])


async def test_an_unknown_subject_has_an_empty_index(repository: Repository) -> None:
    answer = await repository.ask("GET", f"referrers/{digest_of(b'nothing')}")
    assert answer.status_code == 200
    assert answer.json() == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


async def test_an_unknown_repository_has_an_empty_index(repository: Repository) -> None:
    name = f"alice/{secrets.token_hex(6)}"
    absent = Repository(repository.doors, name, await repository.doors.holder("alice", f"repository:{name}:pull"))
    assert await listed(absent) == []


async def test_a_deleted_referrer_is_listed_no_more(repository: Repository) -> None:
    gone, stays = [await repository.push("", referrer()) for _ in range(2)]
    assert (await repository.ask("DELETE", f"manifests/{gone}")).status_code == 202
    assert [item["digest"] for item in await listed(repository)] == [stays]


async def test_referrers_stay_when_their_subject_is_deleted(repository: Repository) -> None:
    target = make_image().manifest
    await repository.put(digest_of(target), target)
    digest = await repository.push("", referrer(subject=descriptor(target, OCI_MANIFEST)))
    assert (await repository.ask("DELETE", f"manifests/{digest_of(target)}")).status_code == 202
    answer = await repository.ask("GET", f"referrers/{digest_of(target)}")
    assert [item["digest"] for item in answer.json()["manifests"]] == [digest]


async def test_a_referrer_is_listed_in_its_own_repository_only(repository: Repository) -> None:
    other = await repository.doors.repository(f"alice/{secrets.token_hex(6)}")
    await other.push("", referrer())
    assert await listed(repository) == []


async def test_the_subject_of_a_subject_is_not_listed(repository: Repository) -> None:
    inner = referrer()
    digest = await repository.push("", inner)
    body = json.dumps(inner).encode()
    outer = await repository.push("", referrer(subject=descriptor(body, OCI_MANIFEST)))
    assert [item["digest"] for item in await listed(repository)] == [digest]
    answer = await repository.ask("GET", f"referrers/{digest}")
    assert [item["digest"] for item in answer.json()["manifests"]] == [outer]


@pytest.mark.parametrize("text", ["latest", "sha256:x", "md5:" + "0" * 32])
async def test_a_subject_that_is_no_digest_is_refused(repository: Repository, text: str) -> None:
    answer = await repository.ask("GET", f"referrers/{text}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")
