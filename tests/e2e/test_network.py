"""How the server is reached: by which names, through which proxies, on which addresses, with and without TLS."""

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from lading.keys.authority import names_of
from support.raw import Answer, Connection
from support.registries import make_image, push_image
from support.servers import Server, nginx_or_skip
from support.waiting import wait_for

EXTERNAL = "registry.example.com"
OTHER = "other.example.com"
PROXY = "127.0.0.9"
STRANGER = "127.0.0.8"  # any address of 127.0.0.0/8 is this machine, so a connection may come from any of them


@dataclass
class ServerAt(Server):
    """A server that listens on a given address."""

    address: str = "127.0.0.1"

    def command(self) -> list[str]:
        words = super().command()
        words[words.index("--host") + 1] = self.address
        return words

    def client_at(self, host: str) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.authority))
        return httpx.Client(base_url=f"https://{host}:{self.port}", verify=context, timeout=60)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., ServerAt]]:
    """Starts servers on addresses and with settings; they are gone afterwards."""
    with contextlib.ExitStack() as stack:
        yield lambda edge, address="127.0.0.1", **variables: stack.enter_context(_running(edge, address, variables))


@contextlib.contextmanager
def _running(edge: str, address: str, variables: dict[str, str]) -> Iterator[ServerAt]:
    if edge == "nginx":
        nginx_or_skip()
    folder = Path(tempfile.mkdtemp(prefix="lading-test-"))  # short: it holds a socket
    server = ServerAt(folder / "data", edge, {"LADING_SERVER__DRAIN_SECONDS": "1", **variables}, address=address)
    try:
        server.start()
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Named:
    """A server with another name outside, one proxy that it trusts, and a port for plain HTTP where there is nginx."""

    server: ServerAt
    plain_port: int

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        with Connection(self.server) as connection:
            return connection.ask(method, path, headers)

    def client(self, address: str) -> httpx.Client:
        """A client at another address of this machine."""
        context = ssl.create_default_context(cafile=str(self.server.authority))
        transport = httpx.HTTPTransport(verify=context, local_address=address)
        return httpx.Client(base_url=f"https://127.0.0.1:{self.server.port}", transport=transport, timeout=60)

    def plain(self, method: str, path: str) -> httpx.Response:
        """The answer of the port without TLS."""
        return httpx.request(method, f"http://127.0.0.1:{self.plain_port}{path}", timeout=60)


@contextlib.contextmanager
def _named(edge: str) -> Iterator[Named]:
    port = free_port() if edge == "nginx" else 0
    variables = {
        "LADING_SERVER__EXTERNAL_URL": f"https://{EXTERNAL}",
        "LADING_SERVER__NAMES": f"{OTHER},192.0.2.77",
        "LADING_SERVER__TRUSTED_PROXIES": f"{PROXY}/32",
        "LADING_SERVER__HTTP_REDIRECT_PORT": str(port),
        "LADING_PASSWORDS__MEMORY_KIB": "8192",
        "LADING_PASSWORDS__ITERATIONS": "1",
    }
    with _running(edge, "127.0.0.1", variables) as server:
        yield Named(server, port)


@pytest.fixture(scope="module")
def behind_nginx() -> Iterator[Named]:
    with _named("nginx") as named:
        yield named


@pytest.fixture(scope="module")
def without_nginx() -> Iterator[Named]:
    with _named("none") as named:
        yield named


@pytest.fixture(params=["behind_nginx", "without_nginx"])
def named(request: pytest.FixtureRequest) -> Named:
    found: Named = request.getfixturevalue(request.param)
    return found


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "realm"),
    [
        (EXTERNAL, EXTERNAL),
        (OTHER, OTHER),
        (f"{OTHER}:PORT", f"{OTHER}:PORT"),
        ("LOCALHOST:PORT", "localhost:PORT"),
        ("[::1]:PORT", "[::1]:PORT"),
        ("evil.example.org", EXTERNAL),
        (f"{EXTERNAL}.evil.example.org", EXTERNAL),
        (f"{EXTERNAL}:1", EXTERNAL),
    ],
)
def test_a_challenge_names_a_host_of_ours_whatever_host_was_asked(named: Named, host: str, realm: str) -> None:
    port = str(named.server.port)
    answer = named.ask("GET", "/v2/", {"Host": host.replace("PORT", port)})
    assert answer.status == 401
    wanted = f'Bearer realm="https://{realm.replace("PORT", port)}/auth/token",service="{EXTERNAL}"'
    assert answer.headers["www-authenticate"] == wanted


@pytest.mark.parametrize("host", ['x",realm="https://evil.example.org', f"{OTHER}@evil.example.org", f"{OTHER}/evil"])
def test_a_host_that_is_none_is_refused_or_not_repeated(named: Named, host: str) -> None:
    answer = named.ask("GET", "/v2/", {"Host": host})
    assert answer.status in {400, 401}
    assert "evil" not in f"{dict(answer.headers)}{answer.body!r}"


def test_tokens_are_made_by_and_for_the_external_name(named: Named) -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(f"admin:{named.server.password}".encode()).decode()}
    path = f"/auth/token?service={EXTERNAL}&scope=repository:admin/app:pull"
    token = named.ask("GET", path, headers).document["token"]
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["iss"], claims["aud"]) == (EXTERNAL, EXTERNAL)
    bearer = {"Authorization": f"Bearer {token}"}
    assert named.ask("GET", "/v2/", {**bearer, "Host": OTHER}).status == 200
    assert named.ask("GET", f"/auth/token?service={OTHER}", headers).status == 400


def test_no_answer_sends_a_client_to_a_host_that_it_made_up(named: Named) -> None:
    with Connection(named.server) as connection:
        for path in ("/", "/v2/", "/v2/admin/x/tags/list", "/api/v0/repositories", "/auth/token?service=x", "/nothing"):
            answer = connection.ask("GET", path, {"Host": "evil.example.org", "X-Forwarded-Host": "evil.example.org"})
            assert "evil" not in f"{dict(answer.headers)}{answer.body!r}"


def test_the_certificate_is_for_all_names(named: Named) -> None:
    shown = x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", named.server.port)).encode())
    assert {EXTERNAL, OTHER, "192.0.2.77", "localhost", "127.0.0.1", "::1"} <= names_of(shown)


def test_the_first_page_says_how_to_sign_in(named: Named) -> None:
    assert f"docker login {EXTERNAL}\n" in named.ask("GET", "/").body.decode()


def test_the_authority_that_a_server_gives_is_enough_to_trust_it(server: Server) -> None:
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    with httpx.Client(base_url=server.url, verify=unchecked, timeout=60) as client:
        given = client.get("/ca")
        assert client.head("/ca").headers["content-length"] == str(len(given.content))
    assert given.headers["content-type"] == "application/x-pem-file"
    (authority,) = x509.load_pem_x509_certificates(given.content)
    assert authority.subject == authority.issuer
    with httpx.Client(base_url=server.url, verify=ssl.create_default_context(cadata=given.text), timeout=60) as client:
        assert client.get("/v2/").status_code == 401
    with httpx.Client(base_url=server.url, timeout=60) as client, pytest.raises(httpx.ConnectError):
        client.get("/v2/")


# --- proxies ---------------------------------------------------------------------------------------------------------


def logged(server: Server, path: str) -> list[dict[str, Any]]:
    """The lines of the access log for a path."""
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{") and path in line]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        (PROXY, None, PROXY),
        (PROXY, "203.0.113.9", "203.0.113.9"),
        (PROXY, "2001:db8::9", "2001:db8::9"),
        (PROXY, "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # what a client claims stands before what the proxy saw
        (PROXY, f"203.0.113.9, {PROXY}", "203.0.113.9"),
        (PROXY, "nobody", PROXY),
        (STRANGER, "203.0.113.9", STRANGER),
    ],
)
def test_only_a_trusted_proxy_is_believed_about_the_client(
    behind_nginx: Named, peer: str, forwarded: str | None, client: str
) -> None:
    path = f"/v2/admin/{os.urandom(8).hex()}/tags/list"
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    with behind_nginx.client(peer) as asking:
        assert asking.get(path, headers=headers).status_code == 401
    wait_for(lambda: logged(behind_nginx.server, path))
    assert [line["client"] for line in logged(behind_nginx.server, path)] == [client]


@pytest.mark.parametrize(
    ("peer", "forwarded", "scheme"),
    [(PROXY, None, "https"), (PROXY, "http", "http"), (PROXY, "gopher", "https"), (STRANGER, "http", "https")],
)
def test_only_a_trusted_proxy_is_believed_about_the_scheme(
    behind_nginx: Named, peer: str, forwarded: str | None, scheme: str
) -> None:
    """A proxy may give plain HTTP to its clients, which then fetch their tokens through it."""
    headers = {"Host": OTHER} if forwarded is None else {"Host": OTHER, "X-Forwarded-Proto": forwarded}
    with behind_nginx.client(peer) as asking:
        challenge = asking.get("/v2/", headers=headers).headers["www-authenticate"]
    assert f'realm="{scheme}://{OTHER}/auth/token"' in challenge


def guess(client: httpx.Client, name: str, address: str) -> int:
    headers = {"X-Forwarded-For": address, "X-Lading-Client": address, "X-Real-IP": address}
    return client.get("/auth/token", auth=(name, "a wrong guess"), headers=headers).status_code


def test_guesses_behind_a_proxy_are_counted_by_the_client_that_it_names(behind_nginx: Named) -> None:
    with behind_nginx.client(PROXY) as proxy:
        wait_for(lambda: guess(proxy, "guessed", "203.0.113.20") == 429)
        assert guess(proxy, "guessed", "203.0.113.21") == 401


def test_who_is_no_trusted_proxy_gains_no_guess_by_naming_other_clients(named: Named) -> None:
    with named.client(STRANGER) as stranger:
        wait_for(lambda: guess(stranger, "named", f"203.0.113.{os.urandom(1)[0]}") == 429)


# --- plain HTTP ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/v2/", "/v2/a/b/manifests/x%2Fy?a=1&b=%20c", "/health/more", "//evil.example"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_plain_http_is_sent_to_https_with_path_and_query(behind_nginx: Named, method: str, path: str) -> None:
    answer = behind_nginx.plain(method, path)
    assert answer.status_code == 308  # which keeps the method, as 301 would not
    assert answer.headers["location"] == f"https://{EXTERNAL}{path}"


@pytest.mark.parametrize("path", ["/_ping", "/health"])
def test_health_is_told_without_tls_too(behind_nginx: Named, path: str) -> None:
    answer = behind_nginx.plain("GET", path)
    assert (answer.status_code, answer.text) == (200, '{"Error":"","Healthy":true}')


def test_without_an_external_url_plain_http_goes_to_the_host_that_was_asked(start: Callable[..., ServerAt]) -> None:
    port = free_port()
    server = start("nginx", LADING_SERVER__HTTP_REDIRECT_PORT=str(port))
    answer = httpx.get(f"http://localhost:{port}/v2/?a=1", timeout=60)
    assert answer.headers["location"] == f"{server.url}/v2/?a=1"


def test_plain_http_to_the_port_of_https_is_answered_in_words(nginx_server: Server) -> None:
    answer = httpx.get(f"http://localhost:{nginx_server.port}/v2/", timeout=60)
    assert answer.status_code == 400
    assert "use https://" in answer.json()["errors"][0]["message"]


# --- IPv6 ------------------------------------------------------------------------------------------------------------


def ipv6_or_skip() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 ({error.strerror}): sysctl net.ipv6.conf.lo.disable_ipv6=0")


@pytest.mark.parametrize("edge", ["nginx", "none"])
def test_a_server_on_an_ipv6_address_is_used_like_any_other(start: Callable[..., ServerAt], edge: str) -> None:
    ipv6_or_skip()
    server = start(edge, "::1", LADING_REGISTRY__CREATE_REPOSITORY_ON_PUSH="true")
    with server.client_at("[::1]") as client:
        host = f"[::1]:{server.port}"
        challenge = client.get("/v2/").headers["www-authenticate"]
        assert f'realm="https://{host}/auth/token"' in challenge
        scope = "repository:admin/six:pull,push"
        found = re.search('service="([^"]+)"', challenge)
        assert found is not None
        params = {"service": found.group(1), "scope": scope}
        token = client.get("/auth/token", params=params, auth=("admin", server.password)).json()["token"]
        push_image(client, "admin/six", "1", make_image(), {"Authorization": f"Bearer {token}"})
        assert client.get("/nginx_status").status_code == 200
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", server.port), timeout=60):
        pass


@pytest.mark.parametrize(("edge", "address"), [("nginx", "[::]"), ("none", "::")])
def test_a_server_on_all_addresses_answers_on_ipv4_and_ipv6(
    start: Callable[..., ServerAt], edge: str, address: str
) -> None:
    ipv6_or_skip()
    server = start(edge, address)
    for host in ("127.0.0.1", "[::1]", "localhost"):
        with server.client_at(host) as client:
            assert client.get("/v2/").status_code == 401
            assert client.get("/metrics").status_code == 200  # loopback, however a socket for both names it


# --- other machines --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_address() -> str:
    """This machine's IPv4 address in its network: who connects from it is like another machine."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.254", 9))  # nothing is sent; the system says from where it would be
        address: str = probe.getsockname()[0]
        if not ip_address(address).is_loopback:
            return address
    pytest.skip("this machine has no address but loopback: connect it to a network")


def test_without_nginx_the_status_is_for_loopback_only_whatever_a_request_claims(
    start: Callable[..., ServerAt], own_address: str
) -> None:
    server = start("none", "0.0.0.0", LADING_SERVER__NAMES=own_address)  # noqa: S104 — as the operator may say
    claims = {"X-Forwarded-For": "127.0.0.1", "X-Lading-Client": "127.0.0.1"}
    for path in ("/nginx_status", "/metrics"):
        with server.client_at("127.0.0.1") as here, server.client_at(own_address) as elsewhere:
            assert (here.get(path).status_code, elsewhere.get(path, headers=claims).status_code) == (200, 404)
            assert elsewhere.get("/health").status_code == 200


@pytest.mark.parametrize("edge", ["nginx", "none"])
def test_a_server_on_one_address_says_so_and_has_a_certificate_for_it(
    start: Callable[..., ServerAt], own_address: str, edge: str
) -> None:
    server = start(edge, own_address)
    assert f"ready https://{own_address}:{server.port}\n" in server.log.read_text()
    with server.client_at(own_address) as client:
        realm = f'realm="https://{own_address}:{server.port}/auth/token"'
        assert realm in client.get("/v2/").headers["www-authenticate"]
