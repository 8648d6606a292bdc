"""Servers that speak LDAP badly, or not at all: nobody comes in by them, and nothing is read without end."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lading.accounts.directories import DirectoryUnavailableError
from lading.accounts.directories.ldap_session import LdapSession, can_bind
from lading.accounts.directories.ldap_settings import Domain
from lading.core.errors import LadingError

Serve = Callable[[socket.socket], None]


@pytest.fixture
def serving() -> Iterator[Callable[[Serve], int]]:
    """Gives the port at which each connection is served so."""
    open_sockets: list[socket.socket] = []

    def serve(how: Serve) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        open_sockets.append(listening)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    open_sockets.append(client)
                    threading.Thread(target=handle, args=(client,), daemon=True).start()

        def handle(client: socket.socket) -> None:
            with contextlib.suppress(OSError):
                how(client)

        threading.Thread(target=accept, daemon=True).start()
        port: int = listening.getsockname()[1]
        return port

    yield serve
    for one in open_sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def domain(port: int, **more: object) -> Domain:
    return Domain.model_validate({"serverURL": f"ldap://localhost:{port}", "rootCerts": "", **more})


def answer(client: socket.socket, kind: int, code: int) -> bytes:
    """What came, answered by a result of that kind (RFC 4511: 0x61 bind, 0x78 extended), without text."""
    asked = client.recv(4096)
    number = asked[2 : 4 + asked[3]]  # the message's, as it came; all of it is short enough for lengths of one byte
    client.sendall(bytes([0x30, len(number) + 9]) + number + bytes([kind, 7, 10, 1, code, 4, 0, 4, 0]))
    return asked


def answering_binds(code: int) -> Serve:
    def serve(client: socket.socket) -> None:
        answer(client, 0x61, code)
        time.sleep(1)

    return serve


def saying(data: bytes) -> Serve:
    """Says so, and then nothing."""

    def serve(client: socket.socket) -> None:
        client.sendall(data)
        time.sleep(10)

    return serve


@pytest.mark.parametrize("code", [3, 4, 5, 6, 9, 10, 14, 51, 80])
def test_only_success_is_a_sign_in(serving: Callable[[Serve], int], code: int) -> None:
    port = serving(answering_binds(code))
    with pytest.raises(LadingError):
        can_bind(domain(port), "uid=ann,dc=lab", "any password", time.monotonic() + 5)


@pytest.mark.parametrize(("code", "right"), [(0, True), (49, False), (53, False), (19, False)])
def test_a_server_says_yes_or_no(serving: Callable[[Serve], int], code: int, *, right: bool) -> None:
    port = serving(answering_binds(code))
    assert can_bind(domain(port), "uid=ann,dc=lab", "any password", time.monotonic() + 5) is right


@pytest.mark.parametrize(("dn", "password"), [("", "secret"), ("uid=ann,dc=lab", "")])
def test_a_bind_without_name_or_password_is_not_even_tried(dn: str, password: str) -> None:
    assert can_bind(domain(1), dn, password, time.monotonic() + 5) is False


@pytest.mark.parametrize("code", [1, 2, 6, 10, 52])
def test_no_password_is_sent_when_tls_does_not_begin(serving: Callable[[Serve], int], code: int) -> None:
    seen: list[bytes] = []

    def serve(client: socket.socket) -> None:
        answer(client, 0x78, code)
        while data := client.recv(4096):
            seen.append(data)

    port = serving(serve)
    with pytest.raises(DirectoryUnavailableError):
        can_bind(domain(port, startTLS=True), "uid=ann,dc=lab", "the secret", time.monotonic() + 5)
    assert not any(b"the secret" in data for data in seen)


def drip(client: socket.socket) -> None:
    client.recv(4096)
    for byte in b"\x30\x82\x01\x00" + bytes(100):
        client.sendall(bytes([byte]))
        time.sleep(0.2)


def endless(client: socket.socket) -> None:
    client.recv(4096)
    client.sendall(b"\x30\x84\x7f\xff\xff\xff")
    while True:
        client.sendall(bytes(65536))


@pytest.mark.parametrize(
    "how",
    [
        drip,
        endless,
        saying(b""),
        saying(b"SSH-2.0-OpenSSH_9.9\r\n" * 10),
        saying(b"\x30\x05\x02\x01\x01\x61\x00"),
        saying(b"\x30\x80\x00\x00"),
        lambda client: client.shutdown(socket.SHUT_RDWR),
    ],
    ids=["a byte now and then", "a message of 2 GiB", "silence", "not LDAP", "a broken answer", "no length", "the end"],
)
def test_what_is_no_answer_ends_in_time(serving: Callable[[Serve], int], how: Serve) -> None:
    began = time.monotonic()
    with pytest.raises(DirectoryUnavailableError):
        LdapSession(domain(serving(how)), time.monotonic() + 1.5)
    assert time.monotonic() - began < 6
