"""What the server says of itself: health, status, numbers, and its log."""

import base64
import contextlib
import functools
import json
import re
import secrets
import signal
import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lading.edge.lifeline import die_with_parent
from support.databases import PostgresqlServer, postgresql_programs
from support.raw import Connection
from support.registries import OCI_MANIFEST, digest_of, make_image, push_image
from support.servers import Server, start_server
from support.waiting import wait_for

HEALTHY = '{"Error":"","Healthy":true}'
CONFIGURED = "10.1.0.0/16"  # may read the status
PROXY = "127.0.0.9"
PARTS = ("storage", "authorization", "metadata")
BASIC = {"Authorization": "Basic " + base64.b64encode(b"admin:anything").decode()}

each_edge = pytest.mark.parametrize("edge", ["nginx", "none"])
quick_to_end = {"LADING_SERVER__DRAIN_SECONDS": "1"}


def health(server: Server) -> tuple[int, str]:
    with server.client(name=None) as client:
        answer = client.get("/health")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert list(document) == ["Error", "Healthy"]
    assert document["Healthy"] is (document["Error"] == "") is (answer.status_code == 200)
    return answer.status_code, document["Error"]


def is_healthy(server: Server) -> bool:
    return health(server) == (200, "")


def is_ill(server: Server, part: str) -> bool:
    """True when this part, and no other, is named."""
    status, error = health(server)
    return status == 503 and [name for name in PARTS if f"{name}: " in error] == [part]


# --- health ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/_ping"])
def test_a_healthy_server_says_so_to_the_letter(server: Server, path: str) -> None:
    with server.client(name=None) as client:
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (200, HEALTHY)
        assert answer.headers["cache-control"] == "no-store"
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        refused = client.post(path)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")


def test_storage_that_can_not_be_written_is_named_until_it_can(own_server_of_each_edge: Server) -> None:
    server = own_server_of_each_edge
    blobs, away = server.data / "blobs", server.data / "away"
    headers = server.bearer("repository:admin/app:pull,push")
    blobs.rename(away)
    blobs.write_text("a file where the folder was: nobody, not even root, writes into it")
    assert is_ill(server, "storage")
    with server.client(name=None) as client:
        pushed = client.post(f"/v2/admin/app/blobs/uploads/?digest={digest_of(b'x')}", content=b"x", headers=headers)
        assert (pushed.status_code, pushed.json()["errors"][0]["code"]) == (503, "UNAVAILABLE")
    blobs.unlink()
    away.rename(blobs)
    assert is_healthy(server)
    with server.client(name=None) as client:
        push_image(client, "admin/app", "1", make_image(), headers)


def test_without_a_key_to_sign_tokens_authorization_is_named_until_there_is_one(own_server: Server) -> None:
    database = sqlite3.connect(own_server.data / "lading.db", isolation_level=None, timeout=60)
    with contextlib.closing(database):
        (count,) = database.execute("SELECT count(*) FROM secrets WHERE kind = 'token-signing'").fetchone()
        assert count == 1
        database.execute("UPDATE secrets SET kind = 'away' WHERE kind = 'token-signing'")
        wait_for(lambda: all(is_ill(own_server, "authorization") for _ in range(8)))  # each worker has noticed
        database.execute("UPDATE secrets SET kind = 'token-signing' WHERE kind = 'away'")
        wait_for(lambda: all(is_healthy(own_server) for _ in range(8)))
    own_server.bearer("repository:admin/app:pull")


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


class PostgresqlThatStops(PostgresqlServer):
    """A PostgreSQL that can be stopped for a while."""

    def halt(self) -> None:
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(60)

    def resume(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._process.args, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd="/",
                preexec_fn=functools.partial(die_with_parent, number=signal.SIGQUIT),  # noqa: PLW1509 — as in its class
                **self._identity,
            )  # fmt: skip
        self._wait()


@pytest.fixture(scope="module")
def database_server() -> Iterator[PostgresqlThatStops]:
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgresqlThatStops(programs)
    yield server
    server.stop()


DATABASE_PASSWORD = f"canary-{secrets.token_hex(12)}"  # any is right: these databases trust who comes


@pytest.fixture(scope="module", params=["nginx", "none"])
def on_postgresql(request: pytest.FixtureRequest, database_server: PostgresqlThatStops) -> Iterator[Server]:
    """A server on PostgreSQL, with an image in it."""
    url = database_server.create().replace("postgres@", f"postgres:{DATABASE_PASSWORD}@")
    with start_server(request.param, {"LADING_DATABASE__URL": url, **quick_to_end}) as server:
        yield server


@contextlib.contextmanager
def away(database: PostgresqlThatStops) -> Iterator[None]:
    database.halt()
    try:
        yield
    finally:
        database.resume()


def test_an_image_is_pushed_and_pulled_on_postgresql(on_postgresql: Server) -> None:
    image, headers = make_image(), on_postgresql.bearer("repository:admin/app:pull,push")
    with on_postgresql.client(name=None) as client:
        push_image(client, "admin/app", "1", image, headers)
        assert client.get("/v2/admin/app/manifests/1", headers=headers).content == image.manifest
        for blob in (image.config, *image.layers):
            assert client.get(f"/v2/admin/app/blobs/{digest_of(blob)}", headers=headers).content == blob
        assert client.get("/v2/admin/app/tags/list", headers=headers).json()["tags"] == ["1"]
    assert not (on_postgresql.data / "lading.db").exists()


def test_while_postgresql_is_away_every_door_says_so_and_serves_when_it_is_back(
    on_postgresql: Server, database_server: PostgresqlThatStops
) -> None:
    image, headers = make_image(), on_postgresql.bearer("repository:admin/stop:pull,push")
    basic = {"Authorization": f"Basic {base64.b64encode(f'admin:{on_postgresql.password}'.encode()).decode()}"}
    doors: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "/v2/admin/stop/manifests/1", headers),
        ("GET", f"/v2/admin/stop/blobs/{digest_of(image.config)}", headers),
        ("GET", "/v2/admin/stop/tags/list", headers),
        ("PUT", "/v2/admin/stop/manifests/1", {**headers, "Content-Type": OCI_MANIFEST}),
        ("POST", "/v2/admin/stop/blobs/uploads/", headers),
        ("GET", f"/auth/token?service={on_postgresql.host}", basic),
        ("GET", "/api/v0/repositories", basic),
    ]

    def ask(client: httpx.Client, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        return client.request(method, path, headers=headers, content=image.manifest if method == "PUT" else None)

    with on_postgresql.client(name=None) as client:
        push_image(client, "admin/stop", "1", image, headers)
        with away(database_server):
            assert is_ill(on_postgresql, "metadata")
            for door in doors:
                answer = ask(client, *door)
                assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "UNAVAILABLE"), door
        wait_for(lambda: all(is_healthy(on_postgresql) for _ in range(8)))
        for door in doors:
            assert ask(client, *door).is_success, door


def test_attack_21_the_databases_password_is_not_in_the_log(
    on_postgresql: Server, database_server: PostgresqlThatStops
) -> None:
    with away(database_server):
        assert is_ill(on_postgresql, "metadata")
        assert DATABASE_PASSWORD not in health(on_postgresql)[1]
        wait_for(lambda: "background work failed" in on_postgresql.log.read_text())
    assert DATABASE_PASSWORD not in on_postgresql.log.read_text()


# --- status ----------------------------------------------------------------------------------------------------------

STUB_STATUS = re.compile(
    r"Active connections: (\d+) \nserver accepts handled requests\n (\d+) (\d+) (\d+) \n"
    r"Reading: \d+ Writing: \d+ Waiting: \d+ \n",
    re.ASCII,
)


def test_the_status_has_nginxs_form_and_counts(server: Server) -> None:
    def requests() -> int:
        with server.client(name=None) as client:
            answer = client.get("/nginx_status")
        assert answer.headers["content-type"] == "text/plain"
        page = STUB_STATUS.fullmatch(answer.text)
        assert page is not None, answer.text
        return int(page.group(4))

    before = requests()
    with server.client(name=None) as client:
        for _ in range(5):
            client.get("/v2/")
    wait_for(lambda: requests() >= before + 5)


@pytest.fixture(scope="module")
def behind_proxy() -> Iterator[Server]:
    variables = {"LADING_SERVER__TRUSTED_PROXIES": f"{PROXY}/32", "LADING_SERVER__STATUS_NETWORKS": CONFIGURED}
    with start_server("nginx", {**variables, **quick_to_end}) as server:
        yield server


@pytest.mark.parametrize("path", ["/nginx_status", "/metrics"])
@pytest.mark.parametrize(
    ("client", "status"),
    [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("10.1.2.3", 200),
        ("10.2.0.1", 404),
        ("203.0.113.9", 404),
        ("2001:db8::1", 404),
    ],
)
def test_the_status_is_for_loopback_and_the_configured_networks(
    behind_proxy: Server, path: str, client: str, status: int
) -> None:
    context = ssl.create_default_context(cafile=str(behind_proxy.authority))
    transport = httpx.HTTPTransport(verify=context, local_address=PROXY)
    with httpx.Client(base_url=f"https://127.0.0.1:{behind_proxy.port}", transport=transport, timeout=60) as proxy:
        answer = proxy.get(path, headers={"X-Forwarded-For": client})
        assert answer.status_code == status
        if status == 404:
            assert answer.json()["errors"]
            assert "lading_" not in answer.text
            assert "server accepts" not in answer.text


# --- numbers ---------------------------------------------------------------------------------------------------------


def metrics(server: Server) -> dict[str, float]:
    """All samples by name and labels."""
    with server.client(name=None) as client:
        lines = client.get("/metrics").raise_for_status().text.splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def test_requests_bytes_uploads_latencies_and_cache_hits_are_counted_across_workers(
    own_server_of_each_edge: Server,
) -> None:
    server = own_server_of_each_edge
    headers = server.bearer("repository:admin/app:pull,push")
    image = make_image(layers=3, layer_bytes=10_000)
    with server.client(name=None) as client:
        push_image(client, "admin/app", "1", image, headers)
        for layer in image.layers:
            assert client.get(f"/v2/admin/app/blobs/{digest_of(layer)}", headers=headers).status_code == 200
    for _ in range(40):  # a connection each, so that every worker gets some
        with server.client(name=None) as client:
            assert client.get("/v2/admin/app/manifests/1", headers=headers).status_code == 200
            assert client.get("/v2/admin/app/manifests/none", headers=headers).status_code == 404
    wanted = {
        'lading_requests_total{door="registry",method="GET",status="200"}': 43,
        'lading_requests_total{door="registry",method="GET",status="404"}': 40,
        'lading_requests_total{door="registry",method="PUT",status="201"}': 1,
        'lading_requests_total{door="token",method="GET",status="200"}': 1,
        "lading_uploads_total": 4,
        "lading_upload_bytes_total": 30_000 + len(image.config),
        "lading_blob_bytes_sent_total": 30_000,
        'lading_request_seconds_count{door="token"}': 1,
    }

    def are_all_there() -> bool:
        found = metrics(server)
        return {name: found.get(name) for name in wanted} == wanted

    wait_for(are_all_there)
    found = metrics(server)
    assert found["lading_manifest_cache_hits_total"] + found["lading_manifest_cache_misses_total"] == 40
    assert found["lading_manifest_cache_hits_total"] >= 30  # each worker reads it once
    assert found["lading_point_reads_total"] >= 40


def test_the_state_of_the_cluster_is_for_administrators(server: Server) -> None:
    path = "/api/v0/meta/cluster_status"
    name = f"plain-{secrets.token_hex(4)}"
    with server.client() as admin:
        admin.post("/enzi/v0/accounts", json={"name": name, "password": "some password"}).raise_for_status()
        state = admin.get(path).raise_for_status().json()
    replica = (server.data / "replica.id").read_text()
    assert state["replica_health"] == {replica: "OK"}
    assert list(state["replica_timestamp"]) == [replica]
    assert state["replica_readonly"] == {replica: False}
    assert state["gc_lock_holder"] == ""
    assert [item["id"] for item in state["rethink_system_tables"]["server_status"]] == [replica]
    with server.client(name=None) as anyone, server.client(name=name, secret="some password") as user:
        assert (anyone.get(path).status_code, user.get(path).status_code) == (401, 403)


# --- the log ---------------------------------------------------------------------------------------------------------


def log_lines(server: Server) -> list[dict[str, Any]]:
    """The structured lines of the log; the others are what the start tells a person."""
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/admin/MARK/manifests/1", 401),
        ("POST", "/v2/admin/MARK/blobs/uploads/", 401),
        ("GET", "/api/v0/repositories/admin/MARK", 404),
        ("GET", "/v2/..//MARK", 400),
        ("GET", "/MARK", 404),
        ("DELETE", "/MARK", 405),
    ],
)
def test_an_error_and_the_access_log_agree_on_the_requests_id(
    nginx_server: Server, method: str, path: str, status: int
) -> None:
    marked = path.replace("MARK", f"mark-{secrets.token_hex(8)}")
    with Connection(nginx_server) as connection:
        answer = connection.ask(method, marked, {"Content-Length": "0"})
    told = answer.document["requestId"]
    if path.startswith("/api/"):
        assert answer.headers["x-request-id"] == told

    def found() -> list[dict[str, Any]]:
        return [line for line in log_lines(nginx_server) if line.get("request_id") == told]

    wait_for(found)
    (line,) = found()
    assert (line["event"], line["method"], line["path"]) == ("request", method, marked)
    assert line["status"] == answer.status == status


@each_edge
def test_what_nobody_expected_says_nothing_but_an_id_that_the_log_explains(edge: str) -> None:
    with start_server(edge, quick_to_end) as server:
        bearer = server.bearer("repository:admin/app:pull")
        with contextlib.closing(sqlite3.connect(server.data / "lading.db", timeout=60)) as database:
            database.execute("ALTER TABLE accounts RENAME TO elsewhere")
        for path, headers in (
            ("/v2/admin/app/manifests/1", bearer),
            ("/auth/token", BASIC),
            ("/api/v0/repositories", BASIC),
        ):
            with server.client(name=None) as client:
                answer = client.get(path, headers=headers)
            assert answer.status_code == 500
            for word in ("accounts", "elsewhere", "sqlite", "SELECT", "Traceback", "lading/"):
                assert word not in answer.text
            told = answer.json()["requestId"]
            line = next(line for line in log_lines(server) if line.get("request_id") == told and "exception" in line)
            assert line["level"] == "error"
            assert "no such table" in line["exception"]


@pytest.fixture(params=["nginx", "none"])
def talkative(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that logs all that it can, its admin's password a canary."""
    password = f"canary-{secrets.token_hex(12)}"
    variables = {
        "LADING_LOG__LEVEL": "debug",
        "LADING_LOG__ACCESS": "on",
        "LADING_ADMIN_PASSWORD": password,
        **quick_to_end,
    }
    with start_server(request.param, variables) as server:
        server.password = password
        yield server


def test_attack_21_no_secret_is_in_the_log_the_errors_or_the_database(talkative: Server) -> None:
    server = talkative
    canaries, texts = {"the admin's password": server.password}, list[str]()
    for name in ("a user's password", "a wrong password", "a wrong token", "a new password"):
        canaries[name] = f"canary-{secrets.token_hex(12)}"
    with server.client() as admin:
        token = admin.post("/api/v0/api_tokens", json={"tokenLabel": "ci"}).raise_for_status().json()
        canaries["an access token"] = token["token"]
        account = {"name": "canary", "password": canaries["a user's password"]}
        admin.post("/enzi/v0/accounts", json=account).raise_for_status()
        texts.append(admin.post("/enzi/v0/accounts", json={**account, "name": "Not A Name"}).text)
        texts.append(admin.post("/api/v0/api_tokens", json={"tokenLabel": 1, "x": canaries["a wrong token"]}).text)
        params = {"service": server.host, "offline_token": "true", "scope": "repository:canary/app:pull,push"}
        answer = admin.get("/auth/token", params=params).raise_for_status().json()
        canaries["a refresh token"] = answer["refresh_token"]
        canaries["a bearer token"] = answer["token"]
    wrong, right = canaries["a wrong token"], canaries["a user's password"]
    with server.client(name="canary", secret=right) as user:
        form = {"oldPassword": canaries["a wrong password"], "newPassword": canaries["a new password"]}
        texts.append(user.post("/enzi/v0/accounts/canary/changePassword", json=form).text)
    headers = server.bearer("repository:canary/app:pull,push", name="canary", secret=right)
    canaries["a user's bearer token"] = headers["Authorization"].removeprefix("Bearer ")
    with server.client(name=None) as client:
        push_image(client, "canary/app", "1", make_image(), headers)
        for kind in ("Bearer", "Basic", "Digest"):
            for path in ("/v2/canary/app/tags/list", "/api/v0/api_tokens", "/auth/token", "/health"):
                texts.append(client.get(path, headers={"Authorization": f"{kind} {wrong}"}).text)
        pair = base64.b64encode(f"admin:{canaries['a wrong password']}".encode()).decode()
        canaries["a wrong pair, encoded"] = pair
        texts.append(client.get("/auth/token", headers={"Authorization": f"Basic {pair}"}).text)
        for form in (
            {"grant_type": "password", "username": "admin", "password": canaries["a wrong password"]},
            {"grant_type": "refresh_token", "refresh_token": wrong},
            {"grant_type": wrong},
        ):
            texts.append(client.post("/auth/token", data=form).text)
        # Some clients put them where they do not belong.
        for secret in (wrong, canaries["an access token"]):
            texts.append(client.get("/api/v0/repositories", params={"refresh_token": secret}).text)
            texts.append(client.get("/auth/token", params={"password": secret, "service": server.host}).text)
    assert server.stop() == 0
    kept = [path.read_bytes() for path in server.data.rglob("*") if path.is_file()]
    for name, canary in canaries.items():
        assert canary not in server.log.read_text(), name
        assert not [text for text in texts if canary in text], name
        assert not [content for content in kept if canary.encode() in content], name
