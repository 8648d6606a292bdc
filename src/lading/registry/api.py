"""Repositories, tags and manifests in `/api/v0`. Source: DTR reference 1.2 and 1.3, to the letter of its JSON keys."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from lading.access import Visibility
from lading.core.clock import rfc3339
from lading.core.digests import Digest
from lading.core.errors import LadingError
from lading.core.names import RepositoryName, Tag, parse_reference
from lading.registry.dtr_errors import (
    ReferenceUnknownError,
    RepositoryUnknownError,
    TagUnknownError,
    VisibilityInvalidError,
)
from lading.registry.images import ImageFacts
from lading.registry.repositories import Repositories, RepositoryChanges
from lading.registry.repository_store import StoredManifest, StoredRepository, StoredTag
from lading.registry.tags import RepositoryTags, TagInPlatform
from lading.web.api import Caller, SignedIn
from lading.web.asked_page import AskedPage, tell_page

_TEXT, _LONG_TEXT = 4096, 256 * 1024  # characters of descriptions
Part = Annotated[str, Path(max_length=255)]


class UpdateRepo(BaseModel):
    """DTR's form:UpdateRepo; what is absent stays as it is."""

    visibility: str | None = None
    short_description: str | None = Field(None, alias="shortDescription", max_length=_TEXT)
    long_description: str | None = Field(None, alias="longDescription", max_length=_LONG_TEXT)
    immutable_tags: bool | None = Field(None, alias="immutableTags", strict=True)
    scan_on_push: bool | None = Field(None, alias="scanOnPush", strict=True)
    enable_manifest_lists: bool | None = Field(None, alias="enableManifestLists", strict=True)
    tag_limit: int | None = Field(None, alias="tagLimit", ge=0, le=1_000_000, strict=True)

    def changes(self) -> RepositoryChanges:
        """Errors: VisibilityInvalidError."""
        return RepositoryChanges(
            visibility=_visibility(self.visibility),
            short_description=self.short_description,
            long_description=self.long_description,
            immutable_tags=self.immutable_tags,
            scan_on_push=self.scan_on_push,
            enable_manifest_lists=self.enable_manifest_lists,
            tag_limit=self.tag_limit,
        )


class CreateRepo(UpdateRepo):
    """DTR's form:CreateRepo."""

    name: str = Field(max_length=255)


def _visibility(text: str | None) -> Visibility | None:
    if text is None:
        return None
    try:
        return Visibility(text)
    except ValueError as error:
        raise VisibilityInvalidError(text) from error


def parse_name(namespace: str, reponame: str) -> RepositoryName:
    """The name, for doors that look things up: what can't be a name is unknown."""
    text = f"{namespace}/{reponame.replace('%2F', '/')}"
    try:
        return RepositoryName.parse(text)
    except LadingError as error:
        raise RepositoryUnknownError(RepositoryName(text[:255])) from error


def router(repositories: Repositories, tags: RepositoryTags) -> APIRouter:
    """The endpoints of repositories, tags and manifests."""
    routes = APIRouter(prefix="/api/v0", tags=["repositories"])
    _add_repositories(routes, repositories)
    _add_tags(routes, tags)
    return routes


def _add_repositories(routes: APIRouter, repositories: Repositories) -> None:
    @routes.get("/repositories", summary="All repositories that you may see")
    async def list_all(who: Caller, paging: AskedPage, response: Response) -> dict[str, Any]:
        page = await repositories.list(who, None, paging)
        return {"repositories": [repository_json(item) for item in tell_page(page, response)]}

    @routes.get("/repositories/{namespace}", summary="Those of one namespace")
    async def list_namespace(namespace: Part, who: Caller, paging: AskedPage, response: Response) -> dict[str, Any]:
        page = await repositories.list(who, namespace, paging)
        return {"repositories": [repository_json(item) for item in tell_page(page, response)]}

    @routes.post("/repositories/{namespace}", status_code=201, summary="Make a repository")
    async def create(namespace: Part, form: CreateRepo, who: SignedIn) -> dict[str, Any]:
        name = RepositoryName.parse(f"{namespace}/{form.name}")
        return repository_json(await repositories.create(who, name, form.changes()))

    @routes.get("/repositories/{namespace}/{reponame}", summary="One repository")
    async def read(namespace: Part, reponame: Part, who: Caller) -> dict[str, Any]:
        return repository_json(await repositories.get(who, parse_name(namespace, reponame)))

    @routes.patch("/repositories/{namespace}/{reponame}", summary="Change a repository")
    async def change(namespace: Part, reponame: Part, form: UpdateRepo, who: SignedIn) -> dict[str, Any]:
        return repository_json(await repositories.change(who, parse_name(namespace, reponame), form.changes()))

    @routes.delete("/repositories/{namespace}/{reponame}", status_code=204, summary="Delete a repository")
    async def delete(namespace: Part, reponame: Part, who: SignedIn) -> None:
        await repositories.delete(who, parse_name(namespace, reponame))


def _add_tags(routes: APIRouter, tags: RepositoryTags) -> None:
    base = "/repositories/{namespace}/{reponame}"

    @routes.get(f"{base}/tags", summary="Tags; their manifests with includeManifests=true")
    async def list_tags(
        namespace: Part,
        reponame: Part,
        who: Caller,
        paging: AskedPage,
        response: Response,
        include: Annotated[bool, Query(alias="includeManifests")] = False,  # noqa: FBT002 — a query parameter
    ) -> list[dict[str, Any]]:
        page = await tags.list(who, parse_name(namespace, reponame), paging)
        return [list_tag_json(item, include_manifest=include) for item in tell_page(page, response)]

    @routes.get(f"{base}/tags/{{reference}}", summary="One tag, or every tag of a digest, once per platform")
    async def read_tag(
        namespace: Part,
        reponame: Part,
        reference: Part,
        who: Caller,
        os: Annotated[str | None, Query(max_length=64)] = None,
        arch: Annotated[str | None, Query(max_length=64)] = None,
    ) -> list[dict[str, Any]]:
        name = parse_name(namespace, reponame)
        try:
            parsed = parse_reference(reference)
        except LadingError as error:
            await tags.repositories.get(who, name)
            raise ReferenceUnknownError(name, reference) from error
        found = [
            item
            for item in await tags.get(who, name, parsed)
            if (os is None or item.os == os) and (arch is None or item.architecture == arch)
        ]
        if not found:
            raise ReferenceUnknownError(name, reference)
        return [tag_json(name, item) for item in found]

    @routes.delete(f"{base}/tags/{{tag}}", status_code=204, summary="Delete a tag")
    async def delete_tag(namespace: Part, reponame: Part, tag: Part, who: SignedIn) -> None:
        name = parse_name(namespace, reponame)
        try:
            parsed = Tag.parse(tag)
        except LadingError as error:
            await tags.repositories.get(who, name)
            raise TagUnknownError(name, tag) from error
        await tags.delete_tag(who, name, parsed)

    @routes.get(f"{base}/manifests", summary="Manifests")
    async def list_manifests(
        namespace: Part, reponame: Part, who: Caller, paging: AskedPage, response: Response
    ) -> list[dict[str, Any]]:
        page = await tags.list_manifests(who, parse_name(namespace, reponame), paging)
        return [manifest_json(item) for item in tell_page(page, response)]

    @routes.delete(f"{base}/manifests/{{reference}}", status_code=204, summary="Delete a manifest and its tags")
    async def delete_manifest(namespace: Part, reponame: Part, reference: Part, who: SignedIn) -> None:
        name = parse_name(namespace, reponame)
        await tags.delete_manifest(who, name, Digest.parse(reference))


def repository_json(item: StoredRepository) -> dict[str, Any]:
    """DTR's Repository."""
    kind: Literal["organization", "user"] = "organization" if item.is_organization else "user"
    return {
        "id": item.id,
        "namespace": item.name.namespace,
        "namespaceType": kind,
        "name": item.name.name,
        "shortDescription": item.short_description,
        "longDescription": item.long_description,
        "visibility": item.visibility.value,
        "scanOnPush": item.scan_on_push,
        "immutableTags": item.immutable_tags,
        "enableManifestLists": item.enable_manifest_lists,
        "pulls": item.pulls,
        "pushes": item.pushes,
        "tagLimit": item.tag_limit,
    }


def manifest_json(item: StoredManifest, facts: ImageFacts | None = None) -> dict[str, Any]:
    """DTR's Manifest; `size` counts what pulling it takes. What is unknown is left out."""
    told: dict[str, Any] = {
        "digest": item.digest,
        "mediaType": item.media_type,
        "size": item.size + item.content_size,
        "createdAt": rfc3339(item.pushed_at),
        "os": item.os,
        "architecture": item.architecture,
        "configDigest": item.config_digest,
        "configMediaType": item.config_media_type,
    }
    if facts is not None:
        told |= {
            "os": facts.os or None,
            "architecture": facts.architecture or None,
            "osVersion": facts.os_version or None,
            "author": facts.author or None,
            "createdAt": facts.created or told["createdAt"],
            "dockerfile": [
                {
                    "line": line.text,
                    "layerDigest": line.digest,
                    "mediaType": line.media_type,
                    "size": line.size,
                    "isEmpty": not line.digest,
                    "urls": list(line.urls),
                }
                for line in facts.lines
            ],
        }
    return {key: value for key, value in told.items() if value is not None}


def list_tag_json(item: StoredTag, *, include_manifest: bool) -> dict[str, Any]:
    """DTR's ListTag. The signature's fields are false until signatures are kept here."""
    manifest = manifest_json(item.manifest) if include_manifest else {"digest": item.manifest.digest}
    return {
        "name": item.name,
        "digest": item.manifest.digest,
        "author": item.author,
        "createdAt": rfc3339(item.created_at),
        "updatedAt": rfc3339(item.updated_at),
        "hashMismatch": False,
        "inNotary": False,
        "manifest": manifest,
    }


def tag_json(name: RepositoryName, item: TagInPlatform) -> dict[str, Any]:
    """DTR's Tag: the tag, with the manifest of one platform. Not scanned (status 1) until scans are kept here."""
    manifest = {"digest": item.digest} if item.manifest is None else manifest_json(item.manifest, item.facts)
    manifest |= {key: value for key, value in (("os", item.os), ("architecture", item.architecture)) if value}
    summary = {
        "namespace": name.namespace,
        "reponame": name.name,
        "tag": item.tag.name,
        "critical": 0,
        "major": 0,
        "minor": 0,
        "last_scan_status": 1,
        "check_completed_at": rfc3339(None),
        "should_rescan": False,
        "has_foreign_layers": False,
    }
    return {**list_tag_json(item.tag, include_manifest=False), "manifest": manifest, "vuln_summary": summary}
