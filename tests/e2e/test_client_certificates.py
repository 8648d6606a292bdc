"""Signing in by a client certificate, with real handshakes: who comes in by it, who does not, and what else still works.

nginx asks for a certificate and demands none; it tells the app of it, which decides.
"""

import asyncio
import io
import secrets
import shutil
import socket
import ssl
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from lading.app.boot import load_master_key, make_client_authority
from lading.cli.serve import _plan
from lading.core.clock import SystemClock
from lading.core.folders import DataFolder
from lading.database import Database
from lading.keys.authority import Authority, KeyPair
from lading.keys.server_certificate import AUTHORITY
from lading.keys.store import SecretStore
from lading.settings import Settings
from support.certificates import issuer_of, public_pem, root, self_signed, showing, write_pair
from support.clients import Client, add_user, program, root_or_skip, trust
from support.layouts import Layout, make_tar
from support.raw import Connection
from support.registries import make_image, push_blob, push_image
from support.servers import PASSWORD, Server, start_server
from support.waiting import wait_for

Files = tuple[Path, Path]
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Holder:
    """A user, and the files of the certificate in his bundle."""

    name: str
    folder: Path
    key_id: str

    @property
    def files(self) -> Files:
        return self.folder / "cert.pem", self.folder / "key.pem"

    @property
    def pair(self) -> KeyPair:
        return KeyPair(self.files[0].read_text(), self.files[1].read_text())


def new_holder(server: Server, folder: Path, name: str = "") -> Holder:
    """A new user with a bundle; `name` may be one that there is."""
    name = name or f"user-{secrets.token_hex(4)}"
    if name != "admin":
        add_user(server, name, PASSWORD)
    with server.client() as admin:
        before = keys_of(admin, name)
        answer = admin.get("/api/clientbundle", params={"username": name})
        assert answer.status_code == 200, answer.text
        (key_id,) = keys_of(admin, name) - before
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(folder / name)
    return Holder(name, folder / name, key_id)


def keys_of(client: httpx.Client, name: str) -> set[str]:
    listed = client.get(f"/enzi/v0/accounts/{name}/publicKeys", params={"limit": 1000}).json()["accountPublicKeys"]
    return {item["id"] for item in listed}


@pytest.fixture
def holder(nginx_server: Server, tmp_path: Path) -> Holder:
    return new_holder(nginx_server, tmp_path)


@contextmanager
def connected(server: Server, files: Files | None, **more: str) -> Iterator[httpx.Client]:
    """A client that shows the certificate in the files, signed in by nothing else."""
    with httpx.Client(base_url=server.url, verify=showing(server.authority, files), timeout=60, headers=more) as client:
        yield client


def me(client: httpx.Client, name: str, **more: object) -> httpx.Response:
    """The answer to a question that only that user, and administrators, may ask."""
    return client.get(f"/api/v0/api_tokens?username={name}", **more)  # type: ignore[arg-type]  # httpx's many


def refused_because(client: httpx.Client, name: str) -> str:
    """Why the API, `/v2/` and the token service, all of them, refuse the certificate."""
    reasons = set()
    for path in (f"/api/v0/api_tokens?username={name}", "/v2/", f"/v2/{name}/x/manifests/1", "/auth/token"):
        answer = client.get(path)
        assert answer.status_code == 401, (path, answer.text)
        assert answer.headers["www-authenticate"]
        reasons.add(answer.json()["errors"][0]["message"])
    (reason,) = reasons
    return str(reason)


async def _our_issuer(server: Server) -> KeyPair:
    folder = DataFolder(server.data)
    secrets_there = SecretStore(load_master_key(folder, may_create=False))
    database = await Database.open(f"sqlite+aiosqlite:///{folder.database}")
    try:
        return (await make_client_authority(Settings(), database, secrets_there, SystemClock()).authority()).pair
    finally:
        await database.close()


async def _server_authority(server: Server) -> KeyPair:
    folder = DataFolder(server.data)
    store = SecretStore(load_master_key(folder, may_create=False))
    database = await Database.open(f"sqlite+aiosqlite:///{folder.database}")
    try:
        async with database.read() as connection:
            (found,) = await store.list_active(connection, AUTHORITY)
            return KeyPair(found.public, found.value.decode())
    finally:
        await database.close()


def register(server: Server, name: str, pair: KeyPair) -> None:
    """The certificate's public key is the account's."""
    with server.client() as admin:
        made = admin.post(f"/enzi/v0/accounts/{name}/publicKeys", json={"publicKey": public_pem(pair)})
        assert made.status_code == 201, made.text


# --- coming in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls-1.2", "tls-1.3"])
def test_a_bundle_signs_in_on_the_api_and_in_the_registry(
    nginx_server: Server, holder: Holder, version: ssl.TLSVersion
) -> None:
    context = showing(nginx_server.authority, holder.files)
    context.maximum_version = context.minimum_version = version
    with httpx.Client(base_url=nginx_server.url, verify=context, timeout=60) as client:
        assert me(client, holder.name).status_code == 200
        assert client.get("/v2/").status_code == 200
        name, image = f"{holder.name}/app", make_image()
        digest = push_image(client, name, "1", image, {})
        assert client.get(f"/v2/{name}/manifests/1").content == image.manifest
        assert client.get(f"/v2/{name}/tags/list").json()["tags"] == ["1"]
        assert client.get("/v2/_catalog").json()["repositories"] == [name]
        assert client.delete(f"/v2/{name}/manifests/{digest}").status_code == 202
    with connected(nginx_server, None) as stranger:
        assert stranger.get("/v2/").status_code == me(stranger, holder.name).status_code == 401


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_curl_signs_in_over_each_http(nginx_server: Server, holder: Holder, tmp_path: Path, http: str) -> None:
    curl = Client(
        (program("curl", "curl"), "--silent", "--show-error", "--fail", "--cacert", str(nginx_server.authority)),
        tmp_path,
    )
    words = (http, "--cert", holder.files[0], "--key", holder.files[1], "--write-out", "%{http_version}")
    wanted = {"--http1.1": "1.1", "--http2": "2"}[http]
    assert curl(*words, f"{nginx_server.url}/v2/") == "{}" + wanted
    (tmp_path / "blob").write_bytes(secrets.token_bytes(300_000))
    target = f"{nginx_server.url}/v2/{holder.name}/app/blobs/uploads/?digest=sha256:{'0' * 64}"
    refused = curl.refused(
        *words, "--data-binary", "@blob", "--header", "Content-Type: application/octet-stream", target
    )
    assert "400" in refused  # the right to push was there, only the digest was wrong


def test_a_certificate_may_what_its_account_may_and_no_more(
    nginx_server: Server, holder: Holder, tmp_path: Path
) -> None:
    other = new_holder(nginx_server, tmp_path)
    with connected(nginx_server, other.files) as theirs:
        push_image(theirs, f"{other.name}/app", "1", make_image(), {})
    with connected(nginx_server, holder.files) as client:
        for name in ("app", "nothing"):
            answer = client.get(f"/v2/{other.name}/{name}/manifests/1")
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
        pushed = client.post(f"/v2/{other.name}/app/blobs/uploads/", content=b"x")
        assert pushed.status_code == 401
        assert me(client, other.name).status_code == 404


def test_other_credentials_win_over_a_certificate(nginx_server: Server, holder: Holder) -> None:
    with connected(nginx_server, holder.files) as client:
        assert me(client, "admin", auth=("admin", nginx_server.password)).status_code == 200
        assert me(client, "admin").status_code == 404
        assert me(client, holder.name, auth=(holder.name, "wrong")).status_code == 401
        wrong = client.get("/v2/", headers={"Authorization": "Bearer x"})
        assert wrong.status_code == 401
        bearer = nginx_server.bearer(f"repository:admin/{holder.name}:pull,push")
        push_image(client, f"admin/{holder.name}", "1", make_image(), bearer)


def test_a_token_fetched_by_certificate_ends_within_a_minute_and_none_lasts(
    nginx_server: Server, holder: Holder
) -> None:
    name = f"{holder.name}/app"
    query = {"service": nginx_server.host, "scope": f"repository:{name}:pull,push", "offline_token": "true"}
    with connected(nginx_server, holder.files) as client:
        issued = client.get("/auth/token", params=query).json()
        assert issued["expires_in"] == 60
        assert "refresh_token" not in issued
    with connected(nginx_server, None, Authorization=f"Bearer {issued['token']}") as bearer:
        push_image(bearer, name, "1", make_image(), {})


# --- not coming in ---------------------------------------------------------------------------------------------------


def test_a_deleted_key_is_out_at_the_next_request_of_the_same_connection(nginx_server: Server, holder: Holder) -> None:
    with connected(nginx_server, holder.files) as client, nginx_server.client() as admin:
        assert client.get("/v2/").status_code == me(client, holder.name).status_code == 200
        assert admin.delete(f"/enzi/v0/accounts/{holder.name}/publicKeys/{holder.key_id}").status_code == 204
        assert refused_because(client, holder.name) == (
            "the client certificate is not accepted: its key is not registered with an active account"
        )
        refused = client.post(f"/v2/{holder.name}/app/blobs/uploads/", content=b"x")
        assert refused.status_code == 401
        assert "not accepted" in refused.text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls-1.2", "tls-1.3"])
def test_a_deleted_key_is_out_though_the_session_goes_on(
    nginx_server: Server, holder: Holder, version: ssl.TLSVersion
) -> None:
    context = showing(nginx_server.authority, holder.files)
    context.maximum_version = context.minimum_version = version

    def ask(session: ssl.SSLSession | None) -> tuple[int, bool, ssl.SSLSession | None]:
        with (
            socket.create_connection(("127.0.0.1", nginx_server.port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as secured,
        ):
            secured.sendall(f"GET /v2/ HTTP/1.1\r\nHost: {nginx_server.host}\r\n\r\n".encode())
            status = int(secured.recv(4096).split()[1])
            return status, bool(secured.session_reused), secured.session

    status, _, session = ask(None)
    assert status == 200
    status, is_resumed, _ = ask(session)
    assert (status, is_resumed) == (200, True)
    with nginx_server.client() as admin:
        admin.delete(f"/enzi/v0/accounts/{holder.name}/publicKeys/{holder.key_id}")
    status, is_resumed, _ = ask(session)
    assert (status, is_resumed) == (401, True)


def test_an_account_that_is_not_active_is_out_and_comes_in_again(nginx_server: Server, holder: Holder) -> None:
    with connected(nginx_server, holder.files) as client, nginx_server.client() as admin:
        for is_active, wanted in ((False, 401), (True, 200)):
            admin.patch(f"/enzi/v0/accounts/{holder.name}", json={"isActive": is_active})
            assert client.get("/v2/").status_code == me(client, holder.name).status_code == wanted


def bad_certificates(server: Server, name: str) -> Mapping[str, tuple[KeyPair, str]]:
    """Certificates that name the user and are none of ours, or not in time; and what is said of them."""
    ours, servers = issuer_of(asyncio.run(_our_issuer(server))), asyncio.run(_server_authority(server))
    now = SystemClock().now()
    look_alike = Authority.create("localhost", now, title="Lading client authority")
    return {
        "expired": (ours.issue(name, begins=-3 * DAY, ends=-DAY), "certificate has expired"),
        "not yet": (ours.issue(name, begins=DAY, ends=2 * DAY), "certificate is not yet valid"),
        "for servers": (ours.issue(name, purpose=ExtendedKeyUsageOID.SERVER_AUTH), "unsuitable certificate purpose"),
        "wrong authority": (root("elsewhere").issue(name), "unable to"),
        "look-alike authority": (look_alike.issue_client(name, now, DAY), ""),
        "the server's authority": (Authority(servers).issue_client(name, now, DAY), "self-signed"),
        "self-signed": (self_signed(name), "self-signed certificate"),
        "never registered": (ours.issue(name), "its key is not registered"),
    }


BAD = ("expired", "not yet", "for servers", "wrong authority", "look-alike authority", "the server's authority", "self-signed",
       "never registered")  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_certificate_that_is_not_accepted_is_401_which_says_why_and_stands_in_nobodys_way(
    nginx_server: Server, holder: Holder, tmp_path: Path, kind: str
) -> None:
    pair, word = bad_certificates(nginx_server, holder.name)[kind]
    if kind != "never registered":
        register(nginx_server, holder.name, pair)  # a registered key makes a bad certificate no better
    files = write_pair(tmp_path / "bad", pair)
    with connected(nginx_server, files) as client:
        said = refused_because(client, holder.name)
        assert said.startswith("the client certificate is not accepted: ")
        assert word in said
        assert client.post("/api/v0/repositories/x", json={"name": "y"}).status_code == 401
        # What anyone may, he may too; and other credentials count as they always do.
        assert client.get("/health").status_code == client.get("/ca").status_code == 200
        own = (holder.name, PASSWORD)
        assert me(client, holder.name, auth=own).status_code == 200
        made = client.post(f"/api/v0/repositories/{holder.name}", json={"name": "more"}, auth=own)
        assert made.status_code == 201, made.text
        scope = {"service": nginx_server.host, "scope": f"repository:{holder.name}/app:pull,push"}
        token = client.get("/auth/token", params=scope, auth=own).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        image = make_image(layer_bytes=200_000)
        push_image(client, f"{holder.name}/app", "1", image, bearer)
        started = client.post(f"/v2/{holder.name}/app/blobs/uploads/", headers=bearer)
        assert started.status_code == 202
        sent = client.patch(started.headers["location"], headers=bearer, content=iter([b"in ", b"chunks"]))
        assert (sent.status_code, sent.headers["range"]) == (202, "0-8")
        assert client.get(f"/v2/{holder.name}/app/manifests/1", headers=bearer).content == image.manifest
        layer = client.get(f"/v2/{holder.name}/app/blobs/{image.manifest and _layer(image.manifest)}", headers=bearer)
        assert layer.content == image.layers[0]
        refused = client.put(f"/v2/{holder.name}/app/manifests/1", content=image.manifest)
        assert refused.status_code == 401
        stranger = client.post(f"/v2/{holder.name}/app/blobs/uploads/", content=b"x" * 100_000)
        assert (stranger.status_code, stranger.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")


def _layer(manifest: bytes) -> str:
    return str(httpx.Response(200, content=manifest).json()["layers"][0]["digest"])


def test_an_expired_certificate_opens_nothing_that_is_internal(
    nginx_server: Server, holder: Holder, tmp_path: Path
) -> None:
    pair, _ = bad_certificates(nginx_server, holder.name)["expired"]
    with connected(nginx_server, None) as admin:
        digest = push_blob(
            admin,
            "admin/inside",
            b"what nobody else may read",
            nginx_server.bearer("repository:admin/inside:pull,push"),
        )
    names = sorted(
        str(path.relative_to(nginx_server.data / "blobs"))
        for path in (nginx_server.data / "blobs").rglob("*")
        if path.is_file()
    )
    stored = next(name for name in names if digest.partition(":")[2] in name)
    with connected(nginx_server, write_pair(tmp_path / "bad", pair)) as client:
        inside = f"/_blobs/{stored}"
        named = ("/_lading_check", "/_lading_bodiless", "/_lading_error/500", "/_edge/check")
        for path in (inside, f"/x/../{inside}", f"/v2/..{inside}", f"/v2/%2e%2e{inside}", *named):
            request = client.build_request("GET", "/", headers={"X-Lading-Route": "check", "X-Lading-Method": "GET"})
            request.url = request.url.copy_with(raw_path=path.encode())
            answer = client.send(request)
            assert answer.status_code in {400, 404}, (path, answer.text)
            assert b"what nobody" not in answer.content


# --- forging ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "another's", "expired"])
def test_nobody_tells_the_app_of_a_certificate_but_nginx(
    nginx_server: Server, holder: Holder, tmp_path: Path, kind: str
) -> None:
    files = None
    if kind == "another's":
        files = new_holder(nginx_server, tmp_path).files
    elif kind == "expired":
        files = write_pair(tmp_path / "bad", bad_certificates(nginx_server, holder.name)["expired"][0])
    forged = {
        "X-Lading-Client-Certificate": quote(holder.pair.certificate, safe=""),
        "X-Lading-Client-Verify": "SUCCESS",
        "X_Lading_Client_Certificate": quote(holder.pair.certificate, safe=""),
        "X_Lading_Client_Verify": "SUCCESS",
        "SSL-Client-Verify": "SUCCESS",
    }
    name = f"{holder.name}/app"
    with connected(nginx_server, files, **forged) as client:
        assert me(client, holder.name).status_code == (404 if kind == "another's" else 401)
        assert client.get(f"/v2/{name}/manifests/1").status_code == 401
        for content in (b"", b"x"):
            assert client.post(f"/v2/{name}/blobs/uploads/", content=content).status_code == 401
    with Connection(nginx_server) as raw:
        assert raw.ask("GET", "/v2/", forged).status == 401
        assert raw.ask("GET", "/v2/", {**forged, "x-lading-client-certificate": "x"}).status == 401


def test_without_nginx_the_headers_mean_nothing(shared_plain_server: Server, tmp_path: Path) -> None:
    server = shared_plain_server
    holder = new_holder(server, tmp_path)
    forged = {
        "X-Lading-Client-Certificate": quote(holder.pair.certificate, safe=""),
        "X-Lading-Client-Verify": "SUCCESS",
    }
    with connected(server, holder.files, **forged) as client:
        assert me(client, holder.name).status_code == client.get("/v2/").status_code == 401


def test_who_sets_up_client_certificates_without_nginx_is_told_that_they_do_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = {"edge": "none", "host": "127.0.0.1", "port": 0}
    for tls, count in (({}, 0), ({"client_certificates": True}, 1)):
        _plan(Settings.model_validate({"server": server, "tls": tls}), DataFolder(tmp_path))
        assert capsys.readouterr().err.count("tls.client_certificates does nothing without nginx") == count


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403), ({"Origin": "https://evil.example"}, 403),
     ({"Origin": "null"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 200), ({"Sec-Fetch-Site": "none"}, 200)],
    ids=["cross-site", "same-site", "origin", "null-origin", "same-origin", "typed-in"],
)  # fmt: skip
def test_attack_19_another_sites_page_does_nothing_in_the_name_of_a_browsers_certificate(
    nginx_server: Server, holder: Holder, headers: dict[str, str], status: int
) -> None:
    with connected(nginx_server, holder.files, **headers) as client:
        assert client.get("/api/clientbundle").status_code == status
        assert me(client, holder.name).status_code == status
        assert client.get("/v2/").status_code == (200 if status == 200 else 401)
    with connected(nginx_server, holder.files, Origin=nginx_server.url) as own:
        assert me(own, holder.name).status_code == 200


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_name() -> Iterator[Server]:
    """A server that takes the common name of an additional authority's certificate."""
    with start_server("nginx", {"LADING_TLS__CLIENT_NAME_FROM_CN": "true"}) as server:
        yield server


def change_settings(server: Server, **form: object) -> None:
    with server.client() as admin:
        changed = admin.post("/api/v0/meta/settings", json=form)
        assert changed.status_code == 202, changed.text


def comes_in(server: Server, files: Files) -> bool:
    """True when it does everywhere, from each worker of nginx and of the app."""
    statuses = []
    for _ in range(8):
        with connected(server, files) as client:
            statuses.append(client.get("/v2/").status_code)
    assert set(statuses) <= {200, 401}
    return set(statuses) == {200}


def said_of(server: Server, files: Files) -> set[str]:
    """Why it does not, from each worker."""
    reasons = set()
    for _ in range(8):
        with connected(server, files) as client:
            message = str(client.get("/v2/").json()["errors"][0]["message"])
            reasons.add(message.removeprefix("the client certificate is not accepted: "))
    return reasons


def stays_out(server: Server, files: Files) -> bool:
    for _ in range(8):
        with connected(server, files) as client:
            if client.get("/v2/").status_code != 401:
                return False
    return True


def test_additional_authorities_and_the_switch_work_without_a_restart(by_name: Server, tmp_path: Path) -> None:
    corporate = root("Corporate root")
    between = corporate.authority("Corporate issuing authority")
    by_root = write_pair(tmp_path / "root", corporate.issue("admin"))
    by_between = write_pair(tmp_path / "between", between.issue("admin"))
    nobody = write_pair(tmp_path / "nobody", corporate.issue("nobody"))
    bundle = new_holder(by_name, tmp_path).files
    for files in (by_root, by_between):
        assert stays_out(by_name, files)
    change_settings(by_name, webTLSClientCA=corporate.pem + between.pem)
    for files in (by_root, by_between):
        wait_for(lambda files=files: comes_in(by_name, files))  # type: ignore[misc]  # bound at once
    assert comes_in(by_name, bundle)
    assert stays_out(by_name, nobody)
    change_settings(by_name, clientCertAuthEnabled=False)
    for files in (by_root, bundle):
        wait_for(lambda files=files: stays_out(by_name, files))  # type: ignore[misc]
    with connected(by_name, by_root) as client:  # it is not looked at, so nothing is said of it
        assert client.get("/v2/").json()["errors"][0]["message"] == "authentication is required"
    change_settings(by_name, clientCertAuthEnabled=True, webTLSClientCA="")
    wait_for(lambda: comes_in(by_name, bundle))
    wait_for(lambda: stays_out(by_name, by_root))


def test_without_the_setting_the_common_name_counts_for_nothing_and_a_registered_key_does(
    nginx_server: Server, holder: Holder, tmp_path: Path
) -> None:
    corporate = root("Corporate root")
    pair = corporate.issue("admin")
    files = write_pair(tmp_path / "admin", pair)
    change_settings(nginx_server, webTLSClientCA=corporate.pem)
    try:
        wait_for(lambda: said_of(nginx_server, files) == {"its key is not registered with an active account"})
        register(nginx_server, holder.name, pair)
        assert comes_in(nginx_server, files)
        with connected(nginx_server, files) as client:
            assert me(client, holder.name).status_code == 200
            assert me(client, "admin").status_code == 404
    finally:
        change_settings(nginx_server, webTLSClientCA="")


# --- real clients ----------------------------------------------------------------------------------------------------


def as_docker_has_it(holder: Holder, server: Server, home: Path) -> Path:
    """A folder with ca.crt, client.cert and client.key, by the bundle's own script."""
    home.mkdir(exist_ok=True)
    shell = Client(("sh", str(holder.folder / "env.sh")), home)
    shell("tools")
    return home / ".config/containers/certs.d" / server.host


def test_skopeo_copies_by_certificate_without_a_login(nginx_server: Server, holder: Holder, tmp_path: Path) -> None:
    skopeo = Client((program("skopeo", "skopeo"),), tmp_path)
    trust(nginx_server, tmp_path)
    layout = Layout(tmp_path / "made")
    layout.add_index("1", [layout.add_image()])
    image, back = f"docker://{nginx_server.host}/{holder.name}/skopeo:1", Layout(tmp_path / "back")
    refused = skopeo.refused("copy", "--all", f"oci:{layout.path}:1", image)
    assert "denied" in refused
    folder = as_docker_has_it(holder, nginx_server, tmp_path / "certificates")
    skopeo("copy", "--all", "--dest-cert-dir", folder, f"oci:{layout.path}:1", image)
    skopeo("copy", "--all", "--src-cert-dir", folder, image, f"oci:{back.path}:1")
    assert back.blobs() == layout.blobs()


def test_podman_finds_the_certificate_where_the_bundle_puts_it(
    nginx_server: Server, holder: Holder, tmp_path: Path
) -> None:
    root_or_skip("podman with a store of its own")
    store = Path(tempfile.mkdtemp(prefix="podman-", dir="/tmp"))  # it refuses a runroot of more than 50 characters
    podman = Client(
        (program("podman", "podman"), "--root", str(store / "root"), "--runroot", str(store / "runroot"), "--tmpdir",
         str(store / "tmp"), "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"),
        tmp_path,
    )  # fmt: skip
    trust(nginx_server, tmp_path)
    as_docker_has_it(holder, nginx_server, tmp_path)
    (tmp_path / "auth.json").write_text(
        "{}"
    )  # it wants the file that REGISTRY_AUTH_FILE names, though there is no login
    (tmp_path / "root.tar").write_bytes(make_tar({"srv/content": secrets.token_bytes(100_000)}))
    name = f"{nginx_server.host}/{holder.name}/podman:1"
    try:
        image = podman("import", "--quiet", tmp_path / "root.tar").strip().removeprefix("sha256:")
        podman("push", "--quiet", image, name)
        podman("rmi", image)
        assert podman("pull", "--quiet", name).strip() == image
    finally:
        shutil.rmtree(store, ignore_errors=True)


def test_docker_trust_takes_the_key_of_a_bundle(nginx_server: Server, holder: Holder, tmp_path: Path) -> None:
    docker = Client(
        (program("docker", "docker.io"),), tmp_path, {"DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE": "correct horse"}
    )
    holder.files[1].chmod(0o600)
    assert "Successfully imported key" in docker("trust", "key", "load", "--name", "jeff", holder.files[1])


def test_the_command_writes_a_bundle_that_only_its_owner_reads(nginx_server: Server, tmp_path: Path) -> None:
    lading = Client((str(Path(sys.executable).with_name("lading")),), tmp_path)
    name = f"user-{secrets.token_hex(4)}"
    add_user(nginx_server, name, PASSWORD)
    words = ("bundle", nginx_server.host, "--ca", nginx_server.authority, "--username", name)
    said = lading(*words, "--output", "mine", "--label", "laptop", stdin=f"{PASSWORD}\n")
    folder = tmp_path / "mine"
    assert f"sh {folder}/env.sh engine" in said
    assert folder.stat().st_mode & 0o777 == 0o700
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert len(written) == 11
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    with connected(nginx_server, (folder / "cert.pem", folder / "key.pem")) as client:
        (known,) = client.get(f"/enzi/v0/accounts/{name}/publicKeys").json()["accountPublicKeys"]
        assert known["label"] == "laptop"
        again = lading.refused(*words, "--output", "mine", stdin=f"{PASSWORD}\n")
        assert "is not empty" in again
        assert len(keys_of(client, name)) == 1
