"""Whatever is sent, the answer is a clear one: no 5xx, no crash, nothing unexpected in the log. Rows 2, 17, 25 at random."""

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.databases import PostgresqlServer, postgresql_programs
from support.raw import Connection
from support.registries import make_image, push_image
from support.servers import PASSWORD, Server, start_server

NAME = "admin/any"
IMAGE = make_image()

CHARACTERS = st.characters(min_codepoint=0x01, max_codepoint=0xFF, exclude_characters=" \r\n")
WORDS = st.sampled_from(
    [
        "v2",
        "v2",
        "v2",
        "api",
        "v0",
        "enzi",
        "auth",
        "token",
        "health",
        "_ping",
        "ca",
        "metrics",
        "nginx_status",
        "_catalog",
        "admin",
        "any",
        NAME,
        NAME,
        "manifests",
        "blobs",
        "uploads",
        "tags",
        "list",
        "referrers",
        "latest",
        IMAGE.digest,
        "sha256:",
        "sha512:" + "0" * 128,
        "repositories",
        "accounts",
        "api_tokens",
        "meta",
        "settings",
        "cluster_status",
        "openapi.json",
        "changePassword",
        "_edge",
        "check",
        "_blobs",
        "_lading_check",
        "",
        ".",
        "..",
        "%2e%2e",
        "%2f",
        "%00",
        "%ff",
        "%",
        "%zz",
        "%C3%A9",
        "%25",
        ";",
        "~",
        "\\",
        "x" * 300,
    ]
)
SEGMENTS = st.one_of(WORDS, WORDS, WORDS, st.text(CHARACTERS, max_size=20))
KNOWN_PATHS = st.sampled_from(
    [
        "/v2/",
        "/v2/_catalog",
        f"/v2/{NAME}/tags/list",
        f"/v2/{NAME}/manifests/latest",
        f"/v2/{NAME}/manifests/{IMAGE.digest}",
        f"/v2/{NAME}/blobs/{IMAGE.digest}",
        f"/v2/{NAME}/blobs/uploads/",
        f"/v2/{NAME}/blobs/uploads/x-1",
        f"/v2/{NAME}/referrers/{IMAGE.digest}",
        "/auth/token",
        "/api/v0/repositories",
        f"/api/v0/repositories/{NAME}/tags",
        "/api/v0/api_tokens",
        "/enzi/v0/accounts",
        "/health",
    ]
)
PATHS = st.one_of(KNOWN_PATHS, st.lists(SEGMENTS, max_size=8).map(lambda parts: "/" + "/".join(parts)))
PARAMETERS = st.sampled_from(
    [
        "n",
        "last",
        "digest",
        "mount",
        "from",
        "tag",
        "artifactType",
        "pageSize",
        "pageStart",
        "count",
        "limit",
        "start",
        "filter",
        "contains",
        "scope",
        "service",
        "account",
        "offline_token",
        "username",
        "usedbefore",
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "-1",
            "9" * 400,
            "%00",
            "a%00b",
            "%ff",
            "%",
            "%ed%a0%80",
            "%f0%9f%9a%a2",
            "true",
            IMAGE.digest,
            NAME,
            "'",
            "%0d%0a",
        ]
    ),
    st.text(CHARACTERS, max_size=20),
)
QUERIES = st.lists(st.tuples(PARAMETERS, VALUES).map("=".join), max_size=4).map("&".join)
TARGETS = st.tuples(PATHS, st.sampled_from(["", "?"]), QUERIES).map(
    lambda parts: parts[0] + parts[1] + parts[2] * bool(parts[1])
)
METHODS = st.one_of(
    st.sampled_from(
        ["GET", "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"]
    ),
    st.text(st.characters(min_codepoint=ord("A"), max_codepoint=ord("Z")), min_size=1, max_size=12),
)
HEADER_TEXT = st.text(st.characters(min_codepoint=0x01, max_codepoint=0xFF, exclude_characters="\r\n"), max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Content-Type",
            "Content-Range",
            "Range",
            "If-None-Match",
            "If-Modified-Since",
            "If-Range",
            "Host",
            "Origin",
            "Cookie",
            "Referer",
            "User-Agent",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Request-Id",
            "X-Lading-Route",
            "X-Lading-Verdict",
            "X-Lading-Body",
            "X-Lading-Uri",
            "X-Lading-Method",
            "X-Lading-Client",
            "Upgrade",
            "TE",
            "Connection",
        ]
    ),
    st.one_of(
        HEADER_TEXT,
        st.sampled_from(
            [
                "bytes=0-0",
                "bytes=-5",
                "bytes=9-1",
                "bytes=0-0,2-3",
                "0-4",
                "4-0",
                "0-99999999999999999999",
                "*/*",
                "application/json",
                "application/vnd.oci.image.manifest.v1+json",
                "*",
                'W/"x"',
                "h2c",
                "upload",
                "check",
                "e30=",
                "close",
                "localhost",
                "evil.example",
            ]
        ),
    ),
    max_size=4,
)
BODIES = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    st.sampled_from([IMAGE.manifest, b"{}", b'{"name": "\\u0000"}', b"[" * 5000, b"null"]),
)
CREDENTIALS = st.sampled_from(["none", "none", "bearer", "bearer", "bearer", "basic", "nonsense"])


@pytest.fixture(scope="module", params=["nginx", "none"])
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of our own, because its log is looked at. One of the two has the other database, which takes fewer texts."""
    variables = {}
    if request.param == "none" and postgresql_programs() is not None:
        postgresql: PostgresqlServer = request.getfixturevalue("postgresql")
        variables["LADING_DATABASE__URL"] = postgresql.create()
    with start_server(request.param, variables) as server:
        with server.client(name=None) as client:
            push_image(client, NAME, "latest", IMAGE, server.bearer(f"repository:{NAME}:pull,push"))
        yield server


def authorization(server: Server, kind: str, known: dict[str, str]) -> dict[str, str]:
    if not known:
        known["bearer"] = server.bearer(f"repository:{NAME}:pull,push,delete", "registry:catalog:*")["Authorization"]
        known["basic"] = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    return {} if kind == "none" else {"Authorization": known.get(kind, "Basic \u00ff")}


def status_of(server: Server, method: str, target: str, headers: dict[str, str], body: bytes) -> int | None:
    """None when the connection was closed without a word, as it may be on what is no HTTP."""
    with Connection(server) as connection, contextlib.suppress(ConnectionError):
        connection.send_head(method, target, {**headers, "Content-Length": str(len(body))})
        connection.socket.sendall(body)
        return connection.read_head().status
    return None


def test_no_request_at_all_is_answered_by_5xx(any_server: Server) -> None:
    known: dict[str, str] = {}
    logged, tree = any_server.log.stat().st_size, sorted(any_server.children())

    # The same examples in every run: what fails here fails everywhere. Deadlines are for quiet machines.
    @settings(max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(METHODS, TARGETS, HEADERS, BODIES, CREDENTIALS)
    def ask(method: str, target: str, headers: dict[str, str], body: bytes, credentials: str) -> None:
        more = authorization(any_server, credentials, known)
        status = status_of(any_server, method, target, {**headers, **more}, body)
        assert status is None or status < 500

    ask()
    check_unharmed(any_server, logged, tree)


@pytest.mark.parametrize(
    "headers",
    [
        {"Transfer-Encoding": "gzip"},
        {"Transfer-Encoding": "gzip, chunked"},
        {"Transfer-Encoding": "chunked, chunked"},
        {"Transfer-Encoding": "\x0bchunked"},
        {"Transfer-Encoding": "chunked", "Content-Length": "3"},
        {"Content-Length": "-1"},
        {"Content-Length": "1, 2"},
        {"Content-Length": "9" * 40},
        {"Content-Length": "0x10"},
        {"Host": ""},
        {"Host": "a b"},
        {"Host": "[::"},
        {"X": "y" * 100_000},
        {"Cookie": "x" * 20_000},
        {"Expect": "nonsense"},
        {"Connection": "Upgrade", "Upgrade": "websocket"},
        {"X-\x00": "y"},
        {"X Y": "z"},
        {"": "y"},
        {"X": "\x00"},
        {"Range": "bytes=" + "0-0," * 2000},
        {"Accept": "a/b," * 5000},
    ],
    ids=lambda headers: repr(headers)[:60],
)
@pytest.mark.parametrize("path", ["/v2/", f"/v2/{NAME}/blobs/uploads/", "/api/v0/repositories"])
def test_a_broken_frame_is_refused_and_never_a_5xx(any_server: Server, headers: dict[str, str], path: str) -> None:
    logged, tree = any_server.log.stat().st_size, sorted(any_server.children())
    statuses = []
    for method in ("GET", "POST"):
        with Connection(any_server) as connection, contextlib.suppress(ConnectionError):
            connection.send_head(method, path, {**headers, "Connection": headers.get("Connection", "close")})
            connection.socket.sendall(b"0\r\n\r\n")
            statuses.append(connection.read_head().status)
    assert all(status < 500 for status in statuses)
    check_unharmed(any_server, logged, tree)


@pytest.mark.parametrize(
    "target",
    [
        "/v2/_catalog?last=%00",
        f"/v2/{NAME}/tags/list?last=a%00",
        f"/v2/{NAME}/referrers/{IMAGE.digest}?artifactType=%00",
        f"/v2/{NAME}/referrers/{IMAGE.digest}?last=%00",
        f"/v2/{NAME}/blobs/uploads/%00",
        f"/v2/{NAME}/blobs/uploads/a%00b",
        "/auth/token?service=%00",
        "/auth/token?account=%00",
        "/auth/token?scope=repository:a/%00:pull",
        "/api/v0/repositories?pageStart=%00",
        f"/api/v0/repositories/{NAME}/tags?pageStart=%00",
        "/enzi/v0/accounts?contains=%00",
        "/enzi/v0/accounts/%00",
        "/v2/_catalog?last=%ed%a0%80",
        f"/v2/{NAME}/tags/list?last=%ed%a0%80",
        f"/v2/{NAME}/tags/list?last=%f0%9f%9a%a2",
    ],
)
def test_attack_25_a_character_that_no_database_takes_is_a_clear_refusal(any_server: Server, target: str) -> None:
    """PostgreSQL keeps no NUL in a text, and neither database a half of a surrogate pair."""
    with any_server.client() as client:
        kind: dict[str, Any] = {}
        if target.startswith("/v2/"):
            kind, client.auth = any_server.bearer(f"repository:{NAME}:pull,push", "registry:catalog:*"), httpx.Auth()
        request = client.build_request("GET", "/", headers=kind)
        request.url = request.url.copy_with(raw_path=target.encode())
        assert client.send(request).status_code < 500


def check_unharmed(server: Server, logged: int, tree: list[int]) -> None:
    assert sorted(server.children()) == tree
    new = server.log.read_bytes()[logged:].decode(errors="replace")
    assert "Traceback" not in new
    assert "unexpected failure" not in new
