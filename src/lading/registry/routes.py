"""The OCI door: `/v2/`. Parse, ask, answer. Source: OCI distribution spec 1.1; Docker registry HTTP API v2.

Behind nginx an upload comes twice: as `/_edge/check`, headers only, whose answer tells nginx whether to read the body; then
with the body in a file. One without a body comes once, and is checked here. Each nginx location names its kind, and a path of
another kind is refused (two parsers, one truth).
"""

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import structlog

from lading.blobs.store import BlobKey, BlobStore
from lading.core.digests import Digest
from lading.core.errors import InvalidError, Kind, LadingError, UnauthenticatedError
from lading.core.names import NameInvalidError, RepositoryName, Tag, TagInvalidError
from lading.registry import paths
from lading.registry.challenge import Caller, ChallengeError, Challenges
from lading.registry.deletion import Deletions
from lading.registry.errors import (
    ChunkOutOfOrderError,
    ManifestUnknownError,
    StorageFullError,
    TagImmutableError,
    uploaded_range,
)
from lading.registry.listing import PAGE_LIMIT, Listings, page_size, referrers_index
from lading.registry.paths import Target, parse_path
from lading.registry.pull import Pulls
from lading.registry.push import Pushes
from lading.registry.switches import CurrentSwitches
from lading.registry.uploads import CHUNK_MINIMUM, Begun, Body, Stored, UploadRequest, Uploads, Verdict
from lading.web.exchange import Answer, FileBody, Headers, Request, parse_length
from lading.web.principal import Authenticator, OnRefused, RegistryToken

log = structlog.get_logger()

API_VERSION = ("docker-distribution-api-version", "registry/2.0")
_JSON = ("content-type", "application/json")
_MORE_TAGS = 100
_NOT_ALLOWED = 405
_BODILESS = "bodiless"
_UPLOAD_ROUTES = {"upload", _BODILESS}
_REFUSED_QUALITY = re.compile(r"(?:^|;)\s*q=0(?:\.0*)?\s*(?:;|$)", re.ASCII)

# Code, status. Source: OCI distribution spec 1.1, "Error codes"; Docker registry HTTP API v2 for the statuses.
_STATUSES: Mapping[str, int] = {
    "UNAUTHORIZED": 401,
    "DENIED": 403,
    "NAME_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "MANIFEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 404,
    "DIGEST_INVALID": 400,
    "TAG_INVALID": 400,
    "SIZE_INVALID": 413,
    "PAGINATION_NUMBER_INVALID": 400,
    "UNSUPPORTED": 405,
    "TOOMANYREQUESTS": 429,
    "UNAVAILABLE": 503,
}
_STATUSES_BY_TYPE: Mapping[type[LadingError], int] = {
    ChunkOutOfOrderError: 416,
    StorageFullError: 507,
    TagImmutableError: 409,
    paths.NotFoundError: 404,
}
_STATUSES_BY_KIND: Mapping[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.DENIED: 403,
    Kind.UNKNOWN: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.TOO_MANY: 429,
    Kind.UNSUPPORTED: 405,
    Kind.UNAVAILABLE: 503,
}
_EDGE_STATUSES = frozenset(
    {400, 404, 405, 413, 416, 429, 503, 507}
)  # what nginx passes on from a check; see edge/nginx.conf


class MethodNotAllowedError(LadingError):
    """The path is right, the method is not."""

    kind = Kind.UNSUPPORTED
    code = "UNSUPPORTED"


class RouteMismatchError(InvalidError):
    """nginx read the path as another kind of request than we do."""

    code = "NAME_INVALID"


def status_of(error: LadingError) -> int:
    """The HTTP status of an error at this door."""
    by_type = _STATUSES_BY_TYPE.get(type(error))
    return by_type or _STATUSES.get(error.code) or _STATUSES_BY_KIND[error.kind]


def error_body(error: LadingError, request_id: str) -> bytes:
    """The OCI error document."""
    item: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.detail is not None:
        item["detail"] = error.detail
    return msgspec.json.encode({"errors": [item], "requestId": request_id})


@dataclass(frozen=True)
class RegistryDoor:
    """The ASGI application of `/v2/` and `/_edge/check`. `spool` is where nginx puts bodies; None without nginx."""

    authenticator: Authenticator
    challenges: Challenges
    switches: CurrentSwitches
    pulls: Pulls
    pushes: Pushes
    uploads: Uploads
    deletions: Deletions
    listings: Listings
    blobs: BlobStore
    manifest_limit_bytes: int
    spool: Path | None
    refused: OnRefused

    async def __call__(self, request: Request) -> Answer:
        try:
            answer = await self._answer(request)
        except LadingError as error:
            if isinstance(error, ChallengeError) and error.refused is not None:
                self.refused(*error.refused)
            answer = self._refusal(error, request)
        return answer.without_body() if request.method == "HEAD" else answer

    async def _answer(self, request: Request) -> Answer:
        if request.path == b"/_edge/check" and request.edge_header("x-lading-route") == "check":
            return await self._check(request)
        target = parse_path(request.path)
        self._check_route(request, target)
        handler = _HANDLERS.get((target.kind, request.method))
        if handler is None:
            raise MethodNotAllowedError(f"{request.method} is not possible here")
        return await handler(self, request, target, await self._caller(request))

    def _check_route(self, request: Request, target: Target) -> None:
        if self.spool is None:
            return
        expected = _UPLOAD_ROUTES if target.kind in paths.UPLOADS else {"v2"}
        if request.header("x-lading-route") not in expected:
            raise RouteMismatchError("the path could be understood in two ways")

    async def _caller(self, request: Request) -> Caller:
        header = request.header("authorization")
        token: RegistryToken | None = None
        refusal = ""
        if header is None:
            token, refusal = await self._certified(request)
        elif header[:7].lower() == "bearer ":
            try:
                token = self.authenticator.read_token(header[7:].strip())
            except UnauthenticatedError:
                token = None
        anonymous = self.switches().anonymous_access
        return Caller(token, request.origin, self.challenges, anonymous_access=anonymous, refusal=refusal)

    async def _certified(self, request: Request) -> tuple[RegistryToken | None, str]:
        """What stands for a token when a client certificate came in its place; or why it does not."""
        certificate = request.client_certificate
        if certificate is None or request.edge_header("x-lading-route") == "upload":  # its check has asked already
            return None, ""
        if request.is_from_another_site:
            return (
                None,
                "the request was sent by another site's page: the client certificate alone does not count for it",
            )
        try:
            return await self.authenticator.token_of_certificate(certificate), ""
        except UnauthenticatedError as error:
            return None, error.message

    def _refusal(self, error: LadingError, request: Request) -> Answer:
        status = status_of(error)
        if status >= 500:  # noqa: PLR2004 — our own trouble
            log.error("request failed", request_id=request.request_id, error=str(error.__cause__ or error))
        headers = [*error.headers.items(), API_VERSION, _JSON]
        if status == _NOT_ALLOWED:
            headers.append(("allow", _allowed(request.path, request.method)))
        return Answer(status, headers, error_body(error, request.request_id))

    # --- base and lists --------------------------------------------------------------------------------------------

    async def base(self, request: Request, _target: Target, caller: Caller) -> Answer:
        token = caller.token
        if token is None:
            raise self.challenges.make(request.origin, "", refusal=caller.refusal)
        try:
            await self.authenticator.principal_of(token.account_id, token.epoch)
        except UnauthenticatedError:
            raise self.challenges.make(request.origin, "", error="invalid_token") from None
        return Answer(200, [API_VERSION, _JSON], b"{}")

    async def catalog(self, request: Request, _target: Target, caller: Caller) -> Answer:
        token = caller.token
        if token is None or not token.catalog:
            raise caller.challenge_catalog()
        try:
            principal = await self.authenticator.principal_of(token.account_id, token.epoch)
        except UnauthenticatedError:
            raise caller.challenge_catalog() from None
        size, after = page_size(request.value("n")), request.value("last") or ""
        anonymous = self.switches().anonymous_access
        page = await self.listings.catalog(principal, anonymous_access=anonymous, after=after, size=size)
        body = msgspec.json.encode({"repositories": page.items})
        return Answer(200, [API_VERSION, _JSON, *_link("/v2/_catalog", page.next_after, {"n": size})], body)

    async def tags(self, request: Request, target: Target, caller: Caller) -> Answer:
        name = target.repository
        size, after = page_size(request.value("n")), request.value("last") or ""
        page = await self.listings.tags(caller, name, after=after, size=size)
        body = msgspec.json.encode({"name": name.text, "tags": page.items})
        return Answer(200, [API_VERSION, _JSON, *_link(f"/v2/{name}/tags/list", page.next_after, {"n": size})], body)

    async def referrers(self, request: Request, target: Target, caller: Caller) -> Answer:
        subject, artifact_type = _digest(target), request.value("artifactType") or None
        page = await self.listings.referrers(
            caller,
            target.repository,
            subject,
            artifact_type=artifact_type,
            after=request.value("last") or "",
            size=page_size(request.value("n")) or PAGE_LIMIT,
        )
        headers: Headers = [API_VERSION, ("content-type", "application/vnd.oci.image.index.v1+json")]
        if artifact_type is not None:
            headers.append(("oci-filters-applied", "artifactType"))
        more = {"n": request.value("n"), "artifactType": artifact_type}
        headers += _link(f"/v2/{target.repository}/referrers/{subject}", page.next_after, more)
        return Answer(200, headers, referrers_index(page))

    # --- manifests -------------------------------------------------------------------------------------------------

    async def get_manifest(self, request: Request, target: Target, caller: Caller) -> Answer:
        name, reference = target.repository, target.reference
        if reference is None:
            raise RuntimeError("a manifest's path names a reference")
        asked, found = await self.pulls.manifest(caller, name, reference)
        etag = f'"{found.digest.text}"'
        headers: Headers = [
            ("content-type", found.media_type),
            ("content-length", str(found.size_bytes)),
            ("docker-content-digest", found.digest.text),
            ("etag", etag),
            API_VERSION,
        ]
        accept = request.header("accept")
        if accept is not None and not accepts(request.headers("accept"), found.media_type):
            raise NotAcceptableError(found.media_type)
        if request.header("if-none-match") is not None and _matches(request.headers("if-none-match"), etag):
            return Answer(304, [("etag", etag), ("docker-content-digest", found.digest.text), API_VERSION])
        if request.method == "HEAD":
            return Answer(200, headers)
        body = await self.pulls.bytes_of.get(found.digest)
        if body is None:
            raise ManifestUnknownError(name, reference)
        self.pulls.count(request, asked, reference, found.digest)
        return Answer(200, headers, body)

    async def put_manifest(self, request: Request, target: Target, caller: Caller) -> Answer:
        name, reference = target.repository, target.reference
        if reference is None:
            raise RuntimeError("a manifest's path names a reference")
        asked = await self.pushes.allow(caller, name)
        texts = request.query.get("tag", [])
        if len(texts) > _MORE_TAGS:
            raise TagInvalidError(f"at most {_MORE_TAGS} tags can be pushed at once")
        more = [Tag.parse(text) for text in texts] if isinstance(reference, Digest) else []
        body = await request.body(self.manifest_limit_bytes)
        content_type = (request.header("content-type") or "").partition(";")[0].strip()
        pushed = await self.pushes.put(asked, reference, more, body, content_type)
        headers: Headers = [
            ("location", f"/v2/{name}/manifests/{pushed.digest}"),
            ("docker-content-digest", pushed.digest.text),
            API_VERSION,
        ]
        if pushed.subject is not None:
            headers.append(("oci-subject", pushed.subject.text))
        if more:
            headers += [("oci-tag", tag.text) for tag in pushed.tags]
        return Answer(201, headers)

    async def delete_manifest(self, _request: Request, target: Target, caller: Caller) -> Answer:
        if target.reference is None:
            raise RuntimeError("a manifest's path names a reference")
        await self.deletions.manifest(caller, target.repository, target.reference)
        return Answer(202, [API_VERSION])

    # --- blobs -----------------------------------------------------------------------------------------------------

    async def get_blob(self, request: Request, target: Target, caller: Caller) -> Answer:
        name, digest = target.repository, _digest(target)
        repository_id, found = await self.pulls.blob(caller, name, digest)
        if request.method == "HEAD":
            await self.pulls.touch(name, repository_id, digest, found)
        local = self.blobs.locate(BlobKey(digest, found.generation))
        headers: Headers = [
            ("content-type", "application/octet-stream"),
            ("docker-content-digest", digest.text),
            ("etag", f'"{digest}"'),
            API_VERSION,
        ]
        if _matches(request.headers("if-none-match"), f'"{digest}"'):
            return Answer(304, [("etag", f'"{digest}"'), ("docker-content-digest", digest.text), API_VERSION])
        if request.method == "GET":
            self.pulls.counts.blob_bytes += found.size_bytes
        return Answer(200, headers, file=FileBody(local.path, local.accelerated, found.size_bytes))

    async def delete_blob(self, _request: Request, target: Target, caller: Caller) -> Answer:
        await self.deletions.blob(caller, target.repository, _digest(target))
        return Answer(202, [API_VERSION])

    # --- uploads ---------------------------------------------------------------------------------------------------

    async def _check(self, request: Request) -> Answer:
        """What nginx asks before it reads a body. It can pass on 204, 401 and 403 only; the rest travels in headers."""
        method = request.edge_header("x-lading-method") or ""
        raw, _, query = (request.edge_header("x-lading-uri") or "").encode("latin-1").partition(b"?")
        original = request.at(method, raw, query)
        try:
            target = parse_path(raw)
            if target.kind not in paths.UPLOADS:
                raise RouteMismatchError("the path could be understood in two ways")
            if (target.kind, method) not in _HANDLERS:
                raise MethodNotAllowedError(f"{method} is not possible here")
            asked = _upload_request(original, target, request.edge_header("x-lading-length"))
            verdict = await self.uploads.check(await self._caller(request), asked)
        except LadingError as error:
            return self._check_refusal(error, request, original)
        return Answer(204, [("x-lading-verdict", base64.urlsafe_b64encode(msgspec.json.encode(verdict)).decode())])

    def _check_refusal(self, error: LadingError, request: Request, original: Request) -> Answer:
        status = status_of(error)
        body = error_body(error, request.request_id).decode()
        headers: Headers = [("x-error", body if body.isascii() else quote(body, safe=""))]
        if isinstance(error, ChallengeError):
            return Answer(401, [*error.headers.items(), *headers])
        if status >= 500 and not isinstance(error, StorageFullError):  # noqa: PLR2004 — our own trouble
            log.error("upload check failed", request_id=request.request_id, error=str(error.__cause__ or error))
        headers += [(f"x-refused-{name}", value) for name, value in error.headers.items()]
        if status == _NOT_ALLOWED:
            headers.append(("x-refused-allow", _allowed(original.path, original.method)))
        headers.append(("x-status", str(status if status in _EDGE_STATUSES else 400)))
        return Answer(403, headers)

    async def _verdict(self, request: Request, target: Target, caller: Caller) -> Verdict:
        if self.spool is None or request.edge_header("x-lading-route") == _BODILESS:
            asked = _upload_request(request, target, request.header("content-length"))
            return await self.uploads.check(caller, asked)
        try:
            sent = base64.urlsafe_b64decode(request.edge_header("x-lading-verdict") or "")
            verdict = msgspec.json.decode(sent, type=Verdict)
        except (msgspec.DecodeError, binascii.Error, ValueError) as error:
            raise RuntimeError("nginx sent an upload without the verdict of its check") from error
        if verdict.name != target.repository.text or verdict.upload_id != target.upload_id:
            raise RuntimeError("nginx sent an upload with another one's verdict")
        return verdict

    def _body(self, request: Request) -> Body:
        if self.spool is None:
            return Body(stream=request.chunks())
        spooled = request.edge_header("x-lading-body")
        return Body(spooled=self.spool / Path(spooled).name if spooled else None)

    async def start_upload(self, request: Request, target: Target, caller: Caller) -> Answer:
        verdict = await self._verdict(request, target, caller)
        digest, mount = _digest_value(request, "digest"), _digest_value(request, "mount")
        result = await self.uploads.start(verdict, digest, mount, self._body(request))
        return _upload_answer(target.repository, result, fresh=True)

    async def append_upload(self, request: Request, target: Target, caller: Caller) -> Answer:
        verdict = await self._verdict(request, target, caller)
        return _upload_answer(target.repository, await self.uploads.append(verdict, self._body(request)))

    async def finish_upload(self, request: Request, target: Target, caller: Caller) -> Answer:
        verdict = await self._verdict(request, target, caller)
        digest = _digest_value(request, "digest")
        if digest is None:
            raise DigestMissingError("the last request of an upload needs ?digest=")
        return _upload_answer(target.repository, await self.uploads.finish(verdict, digest, self._body(request)))

    async def get_upload(self, request: Request, target: Target, caller: Caller) -> Answer:
        verdict = await self._verdict(request, target, caller)
        answer = _upload_answer(target.repository, Begun(verdict.upload_id, verdict.offset))
        return Answer(204, answer.headers)

    async def delete_upload(self, request: Request, target: Target, caller: Caller) -> Answer:
        await self.uploads.cancel(await self._verdict(request, target, caller))
        return Answer(204, [API_VERSION])


class NotAcceptableError(LadingError):
    """The manifest is of a type that the client does not take."""

    kind = Kind.UNKNOWN
    code = "MANIFEST_UNKNOWN"

    def __init__(self, media_type: str) -> None:
        super().__init__(f"the manifest is of type {media_type}, which the Accept header does not list")


class DigestMissingError(InvalidError):
    """A request that must name its digest and does not."""

    code = "DIGEST_INVALID"


_HANDLERS: Mapping[tuple[paths.Kind, str], Callable[..., Awaitable[Answer]]] = {
    (paths.Kind.BASE, "GET"): RegistryDoor.base,
    (paths.Kind.BASE, "HEAD"): RegistryDoor.base,
    (paths.Kind.CATALOG, "GET"): RegistryDoor.catalog,
    (paths.Kind.TAGS, "GET"): RegistryDoor.tags,
    (paths.Kind.REFERRERS, "GET"): RegistryDoor.referrers,
    (paths.Kind.MANIFEST, "GET"): RegistryDoor.get_manifest,
    (paths.Kind.MANIFEST, "HEAD"): RegistryDoor.get_manifest,
    (paths.Kind.MANIFEST, "PUT"): RegistryDoor.put_manifest,
    (paths.Kind.MANIFEST, "DELETE"): RegistryDoor.delete_manifest,
    (paths.Kind.BLOB, "GET"): RegistryDoor.get_blob,
    (paths.Kind.BLOB, "HEAD"): RegistryDoor.get_blob,
    (paths.Kind.BLOB, "DELETE"): RegistryDoor.delete_blob,
    (paths.Kind.UPLOAD_START, "POST"): RegistryDoor.start_upload,
    (paths.Kind.UPLOAD, "GET"): RegistryDoor.get_upload,
    (paths.Kind.UPLOAD, "PATCH"): RegistryDoor.append_upload,
    (paths.Kind.UPLOAD, "PUT"): RegistryDoor.finish_upload,
    (paths.Kind.UPLOAD, "DELETE"): RegistryDoor.delete_upload,
}


def _allowed(path: bytes, method: str) -> str:
    """What is possible at a path where `method` is not. Source: RFC 9110, 15.5.6."""
    kind = parse_path(path).kind
    return ", ".join(sorted(known for at, known in _HANDLERS if at is kind and known != method))


def _upload_request(request: Request, target: Target, length: str | None) -> UploadRequest:
    source = request.value("from") if target.kind is paths.Kind.UPLOAD_START else None
    return UploadRequest(
        method=request.method,
        name=target.repository,
        upload_id=target.upload_id,
        digest=_digest_value(request, "digest"),
        mount=_digest_value(request, "mount") if target.kind is paths.Kind.UPLOAD_START else None,
        mount_from=_source(source) if source else None,
        length=parse_length(length),
        content_range=request.header("content-range"),
    )


def _source(text: str) -> RepositoryName | None:
    try:
        return RepositoryName.parse(text)
    except NameInvalidError:
        return None  # a mount that can't be: the upload simply begins


def _upload_answer(name: RepositoryName, result: Stored | Begun, *, fresh: bool = False) -> Answer:
    if isinstance(result, Stored):
        headers: Headers = [
            ("location", f"/v2/{name}/blobs/{result.digest}"),
            ("docker-content-digest", result.digest.text),
            API_VERSION,
        ]
        return Answer(201, headers)
    headers = [
        ("location", f"/v2/{name}/blobs/uploads/{result.upload_id}"),
        ("docker-upload-uuid", result.upload_id),
        ("range", uploaded_range(result.offset)),
        API_VERSION,
    ]
    if fresh:
        headers.append(("oci-chunk-min-length", str(CHUNK_MINIMUM)))
    return Answer(202, headers)


def _digest(target: Target) -> Digest:
    if target.digest is None:
        raise RuntimeError("the path names a digest")
    return target.digest


def _digest_value(request: Request, name: str) -> Digest | None:
    text = request.value(name)
    return Digest.parse(text) if text else None


def _link(path: str, next_after: str | None, more: Mapping[str, object | None]) -> Headers:
    if next_after is None:
        return []
    query = urlencode({**{key: value for key, value in more.items() if value is not None}, "last": next_after})
    return [("link", f'<{path}?{query}>; rel="next"')]


def accepts(headers: list[str], media_type: str) -> bool:
    """Whether Accept headers take `media_type`. Quality values are not weighed: a type listed at all is taken, but not q=0."""
    for header in headers:
        for item in header.split(","):
            listed, _, parameters = item.partition(";")
            listed = listed.strip().lower()
            if listed in {media_type.lower(), "*/*", "application/*"}:
                return _REFUSED_QUALITY.search(parameters) is None
    return not any(header.strip() for header in headers)


def _matches(headers: list[str], etag: str) -> bool:
    # Source: RFC 9110, 13.1.2; some clients leave the quotes out.
    listed = {item.strip().removeprefix("W/").strip('"') for header in headers for item in header.split(",")}
    return "*" in listed or etag.strip('"') in listed
