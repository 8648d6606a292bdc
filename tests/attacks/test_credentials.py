"""Attack row 22: no password is known beforehand, and nobody learns who or what there is."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from attacks.scenes import Hidden, bearer, claims_of, told
from support.registries import OCI_MANIFEST
from support.servers import PASSWORD, Server, nginx_or_skip

_SHOWN = re.compile(r"may sign in with the password\W+([A-Za-z0-9_-]{12,})\W")
KNOWN_ELSEWHERE = [
    ("admin", "admin"), ("admin", "password"), ("admin", ""), ("admin", "orca"), ("admin", "Harbor12345"),
    ("admin", "changeme"),
    ("admin", "lading"), ("root", "root"), ("administrator", "administrator"), ("docker", "docker"), ("lading", "lading"),
    ("user", "password"), ("", "admin"),
]  # fmt: skip


@pytest.fixture(scope="module")
def fresh() -> Iterator[list[Server]]:
    """Two installations whose operator chose no password, one of each edge."""
    nginx_or_skip()
    folder = Path(tempfile.mkdtemp(prefix="lading-test-"))
    servers = [Server(folder / edge, edge, password="") for edge in ("nginx", "none")]
    try:
        yield [server.start() for server in servers]
    finally:
        for server in servers:
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def shown(server: Server) -> list[str]:
    """The passwords that the server has printed."""
    return _SHOWN.findall(server.log.read_text())


def signs_in(server: Server, name: str, secret: str) -> bool:
    with server.client(name=name, secret=secret) as client:
        answer = client.get("/auth/token", params={"service": server.host})
    assert answer.status_code in {200, 401, 429}  # the last after many guesses
    return answer.status_code == 200


def test_attack_22_each_first_start_makes_a_password_of_its_own_and_shows_it_once(fresh: list[Server]) -> None:
    """CVE-2026-4404."""
    passwords = [shown(server) for server in fresh]
    assert [len(found) for found in passwords] == [1, 1]
    (first,), (second,) = passwords
    assert first != second
    assert len(first) >= 20  # 120 bits, as base64 writes them
    assert [signs_in(server, "admin", password) for server in fresh for password in (first, second)] == [
        True, False, False, True,
    ]  # fmt: skip
    for server, password in zip(fresh, (first, second), strict=True):
        server.stop()
        server.start()
        assert shown(server) == [password]
        assert signs_in(server, "admin", password)
        kept = (path.read_bytes() for path in server.data.rglob("*") if path.is_file())
        assert not any(password.encode() in content for content in kept)


def test_attack_22_no_password_known_from_elsewhere_signs_in(fresh: list[Server]) -> None:
    for server in fresh:
        assert [pair for pair in KNOWN_ELSEWHERE if signs_in(server, *pair)] == []


def test_attack_22_no_password_known_from_elsewhere_opens_the_rest_api(fresh: list[Server]) -> None:
    for server in fresh:
        for name, secret in KNOWN_ELSEWHERE[:4]:
            with server.client(name=name, secret=secret) as client:
                assert client.get("/enzi/v0/accounts").status_code in {401, 429}


def test_attack_22_a_wrong_password_tells_not_whether_there_is_such_a_user(server: Server, hidden: Hidden) -> None:
    answers = {}
    for name in ("alice", "alicf"):
        with server.client(name=name, secret="wrong") as client:
            form = {"grant_type": "password", "username": name, "password": "wrong", "service": server.host}
            tried = [
                client.get("/auth/token", params={"service": server.host}),
                client.post("/auth/token", data=form, auth=httpx.Auth()),
                client.get("/api/v0/repositories"),
                client.get(f"/enzi/v0/accounts/{name}"),
            ]
        assert [answer.status_code for answer in tried] == [401] * 4
        answers[name] = [told(answer, name) for answer in tried]
    assert answers["alice"] == answers["alicf"]


HIDDEN_THINGS = {
    "a repository": "/api/v0/repositories/{name}",
    "its tags": "/api/v0/repositories/{name}/tags",
    "its tag": "/api/v0/repositories/{name}/tags/latest",
    "its manifests": "/api/v0/repositories/{name}/manifests",
    "a manifest by the protocol": "/v2/{name}/manifests/latest",
    "tags by the protocol": "/v2/{name}/tags/list",
    "a blob by the protocol": "/v2/{name}/blobs/{blob}",
    "referrers by the protocol": "/v2/{name}/referrers/{blob}",
    "an upload by the protocol": "/v2/{name}/blobs/uploads/",
    "a namespace": "/api/v0/repositories/{user}",
    "an account": "/enzi/v0/accounts/{user}",
    "its access tokens": "/api/v0/api_tokens?username={user}",
}


@pytest.mark.parametrize("what", HIDDEN_THINGS)
@pytest.mark.parametrize("who", ["bob", None])
def test_attack_22_what_one_may_not_see_answers_as_what_is_not_there(
    server: Server, hidden: Hidden, what: str, who: str | None
) -> None:
    """Status, headers and body."""
    nothing = f"{hidden.name[:-1]}{'0' if hidden.name[-1] != '0' else '1'}"
    answers = []
    with server.client(name=who, secret=PASSWORD) as client:
        for name, user in ((hidden.name, "alice"), (nothing, "alicf")):
            path = HIDDEN_THINGS[what].format(name=name, user=user, blob=hidden.blob)
            headers = {"Content-Type": "application/json"}
            if path.startswith("/v2/"):
                client.auth = httpx.Auth()
                headers = bearer(server, who, f"repository:{name}:pull,push") | {"Content-Type": OCI_MANIFEST}
            for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
                content = b"{}" if method in {"PUT", "POST", "PATCH"} else None
                answer = client.request(method, path, headers=headers, content=content)
                assert 400 <= answer.status_code < 500
                answers.append((method, *told(answer, name, user, name.partition("/")[2])))
    assert answers[:6] == answers[6:]


@pytest.mark.parametrize("who", ["bob", None])
def test_attack_22_a_token_is_the_same_for_a_hidden_repository_and_for_none(
    server: Server, hidden: Hidden, who: str | None
) -> None:
    granted = [
        [item["actions"] for item in claims_of(bearer(server, who, f"repository:{name}:pull,push,delete"))["access"]]
        for name in (hidden.name, f"{hidden.name}x")
    ]
    assert granted == [[[]], [[]]]
