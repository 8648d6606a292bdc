"""The own authority: what it issues is accepted by a verifier that knows only it, and nothing else is."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from lading.keys.authority import Authority, KeyPair, names_of, needs_renewal

NOW = datetime.now(UTC)
NAMES = ("registry.example.com", "localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("example", NOW)


@pytest.fixture(scope="module")
def pair(authority: Authority) -> KeyPair:
    return authority.issue(NAMES, NOW, timedelta(days=90))


def verify(pair: KeyPair, authority: Authority, name: str, now: datetime) -> None:
    subject: x509.GeneralName
    try:
        subject = x509.IPAddress(ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    builder = PolicyBuilder().store(Store([authority.pair.leaf])).time(now)
    builder.build_server_verifier(subject).verify(pair.leaf, [])


@pytest.mark.parametrize("name", NAMES)
def test_an_issued_certificate_is_good_for_each_of_its_names(authority: Authority, pair: KeyPair, name: str) -> None:
    verify(pair, authority, name, NOW)


def test_it_is_good_for_no_other_name_authority_or_time(authority: Authority, pair: KeyPair) -> None:
    with pytest.raises(VerificationError):
        verify(pair, authority, "evil.example.com", NOW)
    with pytest.raises(VerificationError):
        verify(pair, Authority.create("example", NOW), NAMES[0], NOW)
    with pytest.raises(VerificationError):
        verify(pair, authority, NAMES[0], NOW + timedelta(days=91))


def test_it_is_renewed_before_it_expires_and_for_other_names(pair: KeyPair) -> None:
    month = timedelta(days=30)
    assert not needs_renewal(pair.leaf, NAMES, NOW, month)
    assert needs_renewal(pair.leaf, NAMES, NOW + timedelta(days=61), month)
    assert needs_renewal(pair.leaf, (*NAMES, "new.example.com"), NOW, month)
    assert needs_renewal(pair.leaf, NAMES[:2], NOW, month)
    assert names_of(pair.leaf) == set(NAMES)


def test_a_real_handshake_trusts_it(authority: Authority, pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "pair.pem").write_text(pair.certificate + pair.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "pair.pem")
    client = ssl.create_default_context(cadata=authority.pair.certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            accepted, _ = listening.accept()
            with server.wrap_socket(accepted, server_side=True) as secure:
                secure.sendall(b"ok")

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            client.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            assert secure.recv(2) == b"ok"
        thread.join()


def test_a_pair_does_not_show_its_key(pair: KeyPair) -> None:
    assert "PRIVATE" not in repr(pair)
