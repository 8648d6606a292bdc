"""Which certificate a running server shows, how its keys are changed, and how a machine comes to trust it."""

import base64
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from lading.keys.authority import Authority, KeyPair, names_of
from support.clients import Client
from support.servers import Server, start_server
from support.waiting import wait_for


@pytest.fixture(scope="module")
def living() -> Iterator[Server]:
    """A server whose certificate and keys the tests change; each leaves it with the made one."""
    with start_server("nginx") as server:
        yield server


@pytest.fixture
def lading(tmp_path: Path) -> Client:
    """The command, with a home of its own."""
    return Client((str(Path(sys.executable).with_name("lading")),), tmp_path)


def shown(server: Server) -> x509.Certificate:
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", server.port)).encode())


def shows(server: Server, certificate: x509.Certificate) -> bool:
    """True when it is shown to everyone: for a moment, old and new workers of nginx take turns."""
    return all(shown(server) == certificate for _ in range(20))


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def authority_of(server: Server) -> str:
    return fingerprint(x509.load_pem_x509_certificate(server.authority.read_bytes()))


def take_now(server: Server) -> None:
    """The server looks at once for what it looks after each minute."""
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)


class Bought:
    """A certificate from elsewhere, in files."""

    def __init__(self, folder: Path, *names: str) -> None:
        now = datetime.now(UTC)
        self.pair: KeyPair = Authority.create("elsewhere", now).issue(names, now, timedelta(days=3))
        self.certificate, self.key = folder / "bought.pem", folder / "bought.key"
        self.certificate.write_text(self.pair.certificate)
        self.key.write_text(self.pair.key)


# --- installing ------------------------------------------------------------------------------------------------------


def test_an_installed_certificate_is_shown_without_a_restart_until_it_is_reset(
    living: Server, lading: Client, tmp_path: Path
) -> None:
    made, bought = shown(living), Bought(tmp_path, "localhost", "bought.example.com")
    said = lading("certificate", "install", bought.certificate, bought.key, "--data", living.data)
    assert said == "installed the certificate of bought.example.com, localhost\n"
    take_now(living)
    wait_for(lambda: shows(living, bought.pair.leaf))
    assert bought.pair.fingerprint in lading("certificate", "show", "--data", living.data)
    lading("certificate", "reset", "--data", living.data)
    take_now(living)
    wait_for(lambda: shows(living, made))


def test_a_certificate_that_does_not_fit_is_refused_and_the_good_one_stays(
    living: Server, lading: Client, tmp_path: Path
) -> None:
    before, bought = shown(living), Bought(tmp_path, "localhost")
    (tmp_path / "other").mkdir()
    other = Bought(tmp_path / "other", "localhost")
    for key, word in ((other.key, "does not belong"), (bought.certificate, "PEM"), (tmp_path / "none", "can't read")):
        said = lading.refused("certificate", "install", bought.certificate, key, "--data", living.data)
        assert word in said
        assert said.count("\n") == 1
    assert fingerprint(before) in lading("certificate", "show", "--data", living.data)


def test_what_is_shown_is_told_with_the_authoritys_fingerprint(living: Server, lading: Client) -> None:
    told = lading("certificate", "show", "--data", living.data)
    assert fingerprint(shown(living)) in told
    assert authority_of(living) in told
    assert "localhost" in told
    assert authority_of(living) in living.log.read_text()  # what the start printed, to be compared


def test_telling_the_certificate_changes_none_whatever_the_settings_of_who_asks(living: Server, lading: Client) -> None:
    asking = Client(lading.command, lading.home, {"LADING_SERVER__NAMES": "not.the.servers.example.com"})
    assert "not.the.servers" not in asking("certificate", "show", "--data", living.data)
    before = shown(living)
    assert living.stop() == 0
    living.start()
    assert shown(living) == before


def test_new_names_in_the_settings_are_in_the_certificate_after_the_next_start(living: Server) -> None:
    before, variables = shown(living), living.variables
    trusting = ssl.create_default_context(cafile=str(living.authority))  # as a client that trusted it before
    assert "new.example.com" not in names_of(before)
    assert living.stop() == 0
    living.variables = {**variables, "LADING_SERVER__NAMES": "new.example.com"}
    try:
        living.start()
        assert {"new.example.com", *names_of(before)} == names_of(shown(living))
        with socket.create_connection(("127.0.0.1", living.port), timeout=60) as plain:
            trusting.wrap_socket(plain, server_hostname="new.example.com").close()
    finally:
        living.stop()
        living.variables = variables
        living.start()


# --- signing keys ----------------------------------------------------------------------------------------------------


def part(token: str, number: int) -> Any:
    encoded = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))


def test_after_the_signing_key_is_changed_old_tokens_live_on_and_new_ones_are_signed_by_the_new(
    living: Server, lading: Client
) -> None:
    old = living.bearer("registry:catalog:*")
    said = lading("keys", "rotate-signing", "--data", living.data)
    new_key = said.split()[said.split().index("key") + 1]
    assert new_key != part(old["Authorization"].removeprefix("Bearer "), 0)["kid"]

    def signs_anew() -> bool:
        with living.client() as client:  # a connection each, so that all app workers are asked in turn
            token = client.get("/auth/token", params={"service": living.host}).json()["token"]
        return bool(part(token, 0)["kid"] == new_key)

    # A new key waits until every process knows it; then all of them sign by it.
    wait_for(lambda: all(signs_anew() for _ in range(8)), 180)
    with living.client(name=None) as client:
        assert [client.get("/v2/_catalog", headers=old).status_code for _ in range(8)] == [200] * 8
        new = living.bearer("registry:catalog:*")
        assert [client.get("/v2/_catalog", headers=new).status_code for _ in range(8)] == [200] * 8


# --- trusting --------------------------------------------------------------------------------------------------------


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def places_below(server: Server) -> set[str]:
    containers = "etc/containers" if os.geteuid() == 0 else ".config/containers"
    return {
        f".docker/tls/{server.host}/ca.crt",
        f"etc/docker/certs.d/{server.host}/ca.crt",
        f"{containers}/certs.d/{server.host}/ca.crt",
    }


def test_a_host_is_trusted_in_three_places_which_are_told(living: Server, lading: Client) -> None:
    said = lading("trust-host", living.host, "--yes", "--root", lading.home)
    assert written(lading.home) == places_below(living)
    for place in places_below(living):
        assert f"wrote {lading.home / place}\n" in said
        assert (lading.home / place).read_bytes() == living.authority.read_bytes()
        assert (lading.home / place).stat().st_mode & 0o777 == 0o644
    assert authority_of(living) in said
    assert f"docker login {living.host}" in said


def test_before_it_writes_it_shows_the_fingerprint_and_asks(living: Server, lading: Client) -> None:
    for answer in ("n\n", "\n", ""):
        said = lading.refused("trust-host", living.host, "--root", lading.home, stdin=answer)
        assert authority_of(living) in said
        assert str(lading.home / f".docker/tls/{living.host}/ca.crt") in said
        assert written(lading.home) == set()
    lading("trust-host", living.host, "--root", lading.home, stdin="y\n")
    assert written(lading.home) == places_below(living)


def test_the_expected_fingerprint_may_be_given_in_any_way_it_is_written(living: Server, lading: Client) -> None:
    wanted = authority_of(living)
    for fingerprint_given in (wanted, wanted.lower(), wanted.replace(":", "")):
        words = ("trust-host", living.host, "--yes", "--fingerprint", fingerprint_given, "--root", lading.home)
        assert "wrote" in lading(*words)


def test_another_authority_than_the_expected_one_is_not_trusted(living: Server, lading: Client) -> None:
    words = ("trust-host", living.host, "--yes", "--fingerprint", "AB" * 32, "--root", lading.home)
    assert "nothing was written" in lading.refused(*words)
    assert written(lading.home) == set()


def test_an_authority_that_did_not_sign_what_is_shown_is_not_trusted(lading: Client, tmp_path: Path) -> None:
    (tmp_path / "bought").mkdir()
    bought = Bought(tmp_path / "bought", "localhost")
    variables = {"LADING_TLS__CERTIFICATE": str(bought.certificate), "LADING_TLS__KEY": str(bought.key)}
    with start_server("none", variables) as server:
        said = lading.refused("trust-host", server.host, "--yes", "--root", tmp_path / "root")
    assert "nothing was written" in said
    assert written(tmp_path) == {"bought/bought.pem", "bought/bought.key"}


@pytest.mark.parametrize(
    ("host", "word"),
    [("localhost:1", "can't reach"), ("nobody.invalid:443", "can't reach"), ("localhost:x", "HOST:PORT"),
     ("https://localhost", "HOST:PORT"), ("../../etc:443", "HOST:PORT"), ("localhost:99999", "HOST:PORT"),
     ("localhost:²", "HOST:PORT")],
)  # fmt: skip
def test_a_host_that_can_not_be_asked_is_one_line(lading: Client, host: str, word: str) -> None:
    said = lading.refused("trust-host", host, "--yes", "--root", lading.home)
    assert word in said
    assert said.count("\n") == 1
    assert written(lading.home) == set()


def test_a_place_that_can_not_be_written_is_told_and_the_others_are(living: Server, lading: Client) -> None:
    (lading.home / "etc").write_text("a file where a folder should be")
    said = lading.refused("trust-host", living.host, "--yes", "--root", lading.home)
    assert f"can't write {lading.home / 'etc/docker/certs.d' / living.host / 'ca.crt'}" in said
    assert f"lading trust-host {living.host} --fingerprint {authority_of(living)}" in said
    assert (lading.home / f".docker/tls/{living.host}/ca.crt").read_bytes() == living.authority.read_bytes()
