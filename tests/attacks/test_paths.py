"""Attack rows 17 and 25: a path has one meaning, and names, digests and upload ids never lead out of the data folder."""

import base64
import secrets
from urllib.parse import quote

import pytest

from attacks.scenes import Hidden, bearer, files_of
from support.raw import Connection
from support.registries import OCI_MANIFEST, digest_of, make_image, push_image
from support.servers import PASSWORD, Server

# To the catalog and to what is kept, by ways that two readers could understand differently.
TRICKS = [
    "/v2/_catalog",
    "//v2/_catalog",
    "/v2//_catalog",
    "/v2/_catalog/",
    "/v2/_catalog//",
    "/V2/_catalog",
    "/v2/_CATALOG",
    "/v2/%5fcatalog",
    "/v2/_catalo%67",
    "/%76%32/_catalog",
    "/v2%2f_catalog",
    "/v2/_catalog%2f",
    "/v2/_catalog%00",
    "/v2/_catalog%20",
    "/v2/_catalog;x=1",
    "/v2/;/_catalog",
    "/v2;/_catalog",
    "/v2/..;/_catalog",
    "/v2/..;/v2/_catalog",
    "/v2/./_catalog",
    "/./v2/_catalog",
    "/v2/../v2/_catalog",
    "/ca/../v2/_catalog",
    "/v2/x/../_catalog",
    "/v2/%2e/_catalog",
    "/v2/x/%2e%2e/_catalog",
    "/health/..;/v2/_catalog",
    "/v2\\_catalog",
    "/v2/_catalog\\",
    "/v2/_catalog.json",
    "/v2/_catalog?n=1000&x=/health",
    "/v2/_catalog#/health",
    "/v2/a/b/_catalog",
    "/v2/v2/_catalog",
    "/_edge/check",
    "/_lading_check",
    "/%5flading_check",
    "/_edge/../v2/_catalog",
    "/_lading_error/../v2/_catalog",
    "/v2/{name}/tags/list",
    "/v2/{name}/tags/list/",
    "/v2/{name}/tags//list",
    "/v2/{name}/manifests/latest",
    "/v2/{name}/manifests/latest/",
    "/v2/{name}/manifests//latest",
    "/v2//{name}/manifests/latest",
    "//v2/{name}/manifests/latest",
    "/V2/{name}/manifests/latest",
    "/v2/x/../{name}/manifests/latest",
    "/v2/{name};/manifests/latest",
    "/v2/{name}/manifests/..;/manifests/latest",
    "/v2/{name}/%6danifests/latest",
    "/v2/{name}/manifests/%6catest",
    "/v2/{quoted}/manifests/latest",
    "/v2/{name}/blobs/{blob}",
    "/v2/{name}/blobs/{blob}/",
    "/v2/{name}/blobs/uploads/../{blob}",
    "/v2/{name}/blobs/uploads/x/../../{blob}",
    "/v2/{name}/%62lobs/{blob}",
    "/v2/{name}/blobs/uploads/..%2f{blob}",
    "/api/v0/repositories",
    "//api/v0/repositories",
    "/api//v0/repositories",
    "/API/v0/repositories",
    "/api/v0/repositories/",
    "/api/v0/./repositories",
    "/api/v0/x/../repositories",
    "/health/../api/v0/repositories",
    "/api/v0/repositories/{name}",
    "/api/v0/repositories/{quoted}",
    "/api/v0/repositories/{name}/",
    "/api/v0/repositories//{name}",
    "/api/v0/repositories/{name}/tags",
    "/api/v0/repositories/{name}/tags/latest",
    "/api/v0/repositories/{name}/../{name}/tags",
    "/api/v0/repositories/bob/..%2f{name}/tags",
    "/api/v0/repositories/{name};x/tags",
    "/v2/../api/v0/repositories/{name}",
    "/api/../v2/{name}/manifests/latest",
    "/api/..%2fv2/{name}/manifests/latest",
    "/_blobs/{file}",
    "//_blobs/{file}",
    "/%5fblobs/{file}",
    "/_blobs/../_blobs/{file}",
    "/_blobs/%2e%2e/blobs/{file}",
    "/v2/../_blobs/{file}",
    "/v2/_blobs/{file}",
    "/_blobs/../lading.db",
    "/_blobs/..%2flading.db",
    "/_blobs../lading.db",
    "/_blobs/../tls/key.pem",
    "/_blobs../master.key",
    "/ca/../tls/key.pem",
    "/blobs/{file}",
    "/../master.key",
    "/..%2fmaster.key",
]


def credentials(server: Server, name: str, target: str) -> list[dict[str, str]]:
    """What strangers and bob may send with a request for the target."""
    scopes = "registry:catalog:*", f"repository:{name}:pull"
    forged = {"X-Lading-Route": "v2", "X-Lading-Verdict": "e30=", "X-Lading-Uri": target, "X-Lading-Method": "GET"}
    known = [{}, forged, {"X-Original-URL": "/health", "X-Rewrite-URL": "/health", "X-Forwarded-For": "127.0.0.1"}]
    if "api" in target.lower():  # where a token of the registry is a failed sign-in, of which there may be a few only
        basic = base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
        return [*known, {"Authorization": f"Basic {basic}"}]
    return [*known, bearer(server, None, *scopes), bearer(server, "bob", *scopes)]


@pytest.mark.parametrize("trick", TRICKS)
def test_attack_17_no_way_leads_to_what_is_hidden(server: Server, hidden: Hidden, trick: str) -> None:
    """CVE-2020-29662. Neither strangers nor bob, who is somebody else, learn a name or a byte, whatever they can send."""
    name, digest = hidden.name, hidden.blob.partition(":")[2]
    (file,) = (server.data / "blobs/sha256" / digest[:2]).glob(f"{digest}.*")
    stored = file.relative_to(server.data / "blobs")
    target = trick.format(name=name, quoted=quote(name, safe=""), blob=hidden.blob, file=stored)
    secret = [hidden.image.manifest, hidden.image.layers[0], (server.data / "master.key").read_bytes()]
    secret += [b"PRIVATE KEY", b"SQLite format"]
    for headers in credentials(server, name, target):
        with Connection(server) as connection:
            answer = connection.ask("GET", target, headers)
        assert answer.status in {200, 400, 401, 403, 404, 405}
        assert not any(word in answer.body for word in secret)
        if answer.status == 200:  # an error may repeat what was asked for
            assert name.partition("/")[2].encode() not in answer.body


# Each is to be refused as such, wherever it stands.
BAD_NAMES = [
    "..",
    "../..",
    "a/..",
    "../a",
    "a/../../../../{marker}",
    "..%2f..%2f{marker}",
    "a/%2e%2e/{marker}",
    "a/{marker}%00",
    "%00/{marker}",
    "a/{marker}%0d%0aX: y",
    "a/" + "x" * 256,
    "a/" + "x/" * 200 + "x",
    "a/" + "x" * 5000,
    "A/{marker}",
    "a/{marker}%20",
    "a/{marker}\\..\\x",
    "a//{marker}",
    "/a/{marker}",
    "a/{marker}/",
    "a/.{marker}",
    "a/-{marker}",
    "~/{marker}",
    "a/{marker}%ff",
    "a/%c3%a9{marker}",
    "a/{marker}$(id)",
    "a/{marker}'",
    "a/{marker}%25%32%65",
]
BAD_TAGS = [
    "..",
    "%2e%2e",
    ".{marker}",
    "-{marker}",
    "{marker}%00",
    "{marker}%2fx",
    "x" * 129,
    "x" * 5000,
    "{marker}%20",
    "%ff",
    "{marker}@x",
]
BAD_DIGESTS = [
    "sha256:",
    "sha256:../../{marker}",
    "sha256:..%2f..%2f{marker}",
    "sha256:{zeros}/../../../{marker}",
    "sha256:{zeros}%00",
    "sha256:{zeros}%00/../{marker}",
    "sha256:{short}",
    "sha256:{zeros}0",
    "sha256:{upper}",
    "md5:{short}",
    "../../{marker}:{zeros}",
    "sha256/../../{marker}:{zeros}",
    "sha256:" + "x" * 64,
    "sha256:" + "0" * 300,
    "sha512:{zeros}",
    ":{zeros}",
    "SHA256:{zeros}",
    "sha256:{zeros}%0a",
    "sha256+b64:{zeros}",
    "%2e%2e:{marker}",
]
BAD_UPLOADS = [
    "..",
    "..%2f{marker}",
    "../../{marker}",
    "%00",
    "{marker}%00",
    "x" * 256,
    "x" * 5000,
    "{marker}%2f..",
    ".",
    "{marker}.part",
    "%2e%2e",
    "{marker};x",
    "{marker}%20",
]


def filled(texts: list[str], marker: str) -> list[str]:
    words = {"marker": marker, "zeros": "0" * 64, "short": "0" * 63, "upper": "A" * 64}
    return [text.format(**words) for text in texts]


def requests_of(kind: str, marker: str) -> list[tuple[str, str]]:
    """Method and target of every request that names something bad of the kind."""
    zeros, base = "sha256:" + "0" * 64, "/v2/admin/paths"
    match kind:
        case "name":
            doors = [
                ("GET", "/v2/{}/tags/list"),
                ("GET", "/v2/{}/manifests/latest"),
                ("PUT", "/v2/{}/manifests/latest"),
                ("POST", "/v2/{}/blobs/uploads/"),
                ("GET", f"/v2/{{}}/blobs/{zeros}"),
                ("GET", f"/v2/{{}}/referrers/{zeros}"),
                ("DELETE", "/v2/{}/manifests/latest"),
            ]
            texts = BAD_NAMES
        case "tag":
            doors = [(method, f"{base}/manifests/{{}}") for method in ("GET", "PUT", "DELETE")]
            doors += [("PUT", f"{base}/manifests/{digest_of(MANIFEST)}?tag={{}}")]
            texts = BAD_TAGS
        case "digest":
            doors = [
                ("GET", f"{base}/blobs/{{}}"),
                ("HEAD", f"{base}/blobs/{{}}"),
                ("DELETE", f"{base}/blobs/{{}}"),
                ("PUT", f"{base}/manifests/{{}}"),
                ("GET", f"{base}/referrers/{{}}"),
                ("POST", f"{base}/blobs/uploads/?digest={{}}"),
                ("POST", f"{base}/blobs/uploads/?mount={{}}"),
            ]
            texts = BAD_DIGESTS
        case _:
            doors = [(method, f"{base}/blobs/uploads/{{}}") for method in ("GET", "PATCH", "DELETE")]
            doors += [("PUT", f"{base}/blobs/uploads/{{}}?digest={zeros}")]
            texts = BAD_UPLOADS
    return [(method, target.format(text)) for method, target in doors for text in filled(texts, marker)]


MANIFEST = make_image().manifest


@pytest.mark.parametrize("kind", ["name", "tag", "digest", "upload"])
def test_attack_25_what_leads_out_of_the_root_is_refused_and_writes_nothing(server: Server, kind: str) -> None:
    marker = f"out{secrets.token_hex(6)}"
    token = server.bearer("repository:admin/paths:pull,push,delete")
    with server.client(name=None) as client:
        push_image(client, "admin/paths", "latest", make_image(), token)
    before = files_of(server)
    refused: dict[str, int] = {}
    for method, target in requests_of(kind, marker):
        body = MANIFEST if method in {"PUT", "PATCH"} else b""
        headers = {**token, "Content-Type": OCI_MANIFEST, "Content-Length": str(len(body)), "Connection": "close"}
        with Connection(server) as connection:
            refused[f"{method} {target}"] = connection.ask(method, target, headers, body).status
    assert {asked: status for asked, status in refused.items() if status != 400} == {}
    assert files_of(server) == before
    outside = [path for folder in server.data.parents for path in folder.glob(f"*{marker}*")]
    assert outside == []
