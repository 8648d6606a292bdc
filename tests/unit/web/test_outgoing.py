"""Where requests to places that others name may go. The last tests are row 13 of the attacks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address

import pytest

from lading.web import outgoing
from lading.web.outgoing import AddressRefusedError, NoAnswerError, fetch, is_public, make_client

PRIVATE = (
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",  # noqa: S104 — compared
    "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::1",
)  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_these_are_not_the_internets(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_these_are(text: str) -> None:
    assert is_public(ip_address(text))


class Listener:
    """A server on loopback that answers each request with one text, and counts those who came."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    async with await asyncio.start_server(listener.serve, "127.0.0.1", 0) as server:
        listener.port = server.sockets[0].getsockname()[1]
        yield listener


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001"])
async def test_loopback_is_refused_in_every_spelling_and_nothing_is_connected(listener: Listener, host: str) -> None:
    async with make_client() as client:
        with pytest.raises((AddressRefusedError, NoAnswerError)):
            await fetch(client, "GET", f"http://{host}:{listener.port}/", limit_bytes=100)
    assert listener.connections == 0


async def test_an_allowed_host_is_reached_and_no_other(listener: Listener) -> None:
    async with make_client(allowed_hosts=["localhost"]) as client:
        assert await fetch(client, "GET", f"http://localhost:{listener.port}/", limit_bytes=100) == (200, b"hello")
        with pytest.raises(AddressRefusedError):
            await fetch(client, "GET", f"http://127.0.0.1:{listener.port}/", limit_bytes=100)


async def test_a_redirect_is_looked_at_as_well(listener: Listener) -> None:
    target = f"http://127.0.0.1:{listener.port}/secret"
    listener.answer = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
    async with make_client(allowed_hosts=["localhost"], follow_redirects=True) as client:
        with pytest.raises(AddressRefusedError):
            await fetch(client, "GET", f"http://localhost:{listener.port}/", limit_bytes=100)
    assert listener.connections == 1


async def test_all_addresses_of_a_name_are_looked_at_and_those_are_what_is_connected_to(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter((["1.1.1.1", "127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"]))

    async def changing(_host: str, _port: int) -> Sequence[str]:
        return next(answers)

    monkeypatch.setattr(outgoing, "resolve", changing)
    url = f"http://rebind.invalid:{listener.port}/"
    for _ in range(2):
        async with make_client() as client:
            with pytest.raises(AddressRefusedError):
                await fetch(client, "GET", url, limit_bytes=100)
    assert listener.connections == 0
    # The name itself leads nowhere: a second look at it, after the check, would find nothing.
    async with make_client(allowed_hosts=["rebind.invalid"]) as client:
        assert await fetch(client, "GET", url, limit_bytes=100) == (200, b"hello")


async def test_an_answer_that_is_too_long_is_cut_off(listener: Listener) -> None:
    async with make_client(allowed_hosts=["localhost"]) as client:
        with pytest.raises(NoAnswerError, match="more than is taken"):
            await fetch(client, "GET", f"http://localhost:{listener.port}/", limit_bytes=4)


async def test_a_host_that_does_not_exist_or_does_not_listen_is_told_so() -> None:
    async with make_client(allowed_hosts=["localhost"]) as client:
        for url in ("http://localhost:9/", "http://nowhere.invalid/", "not an address", "http://"):
            with pytest.raises(NoAnswerError):
                await fetch(client, "GET", url, limit_bytes=100)
