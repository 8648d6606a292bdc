"""What the attacks begin with: people, a repository that only one of them may see, and ways to look at answers."""

import asyncio
import base64
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from lading.app.boot import load_master_key
from lading.core.folders import DataFolder
from lading.database import Database
from lading.keys.store import SecretStore
from lading.keys.token_signing import TokenSigner
from support.clients import add_user
from support.registries import Image, make_image, push_image
from support.servers import PASSWORD, Server

_VARYING = {"date", "connection", "x-request-id", "docker-upload-uuid", "content-length"}
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Hidden:
    """A private repository of alice's with an image under the tag `latest`. Bob may see nothing of it."""

    name: str
    image: Image

    @property
    def blob(self) -> str:
        """The digest of its first layer."""
        return str(json.loads(self.image.manifest)["layers"][0]["digest"])


def add_people(server: Server) -> None:
    """Alice and bob have accounts. May be repeated."""
    for name in ("alice", "bob"):
        add_user(server, name, PASSWORD)


def bearer(server: Server, name: str | None, *scopes: str) -> dict[str, str]:
    """The header of a token for alice or bob, or for nobody, with what is granted of these scopes."""
    return server.bearer(*scopes, name=name, secret=PASSWORD)


def hide(server: Server) -> Hidden:
    """A new one."""
    name, image = f"alice/hidden{secrets.token_hex(4)}", make_image()
    with server.client(name=None) as client:
        push_image(client, name, "latest", image, bearer(server, "alice", f"repository:{name}:pull,push"))
    return Hidden(name, image)


def told(answer: httpx.Response, *own: str) -> tuple[int, dict[str, str], str]:
    """All that an answer tells. Left out is what differs from request to request: its time and id, and the words `own`."""
    headers = {key: _without(value, own) for key, value in answer.headers.items() if key not in _VARYING}
    identifier = json.loads(answer.text).get("requestId", "") if answer.text.startswith("{") else ""
    return answer.status_code, headers, _without(answer.text, (identifier, *own))


def _without(text: str, words: tuple[str, ...]) -> str:
    for word in words:
        text = text.replace(word, "…") if word else text
    return text


def claims_of(header: dict[str, str]) -> dict[str, Any]:
    """What the token in an Authorization header says."""
    payload = header["Authorization"].split()[1].split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def in_database(server: Server, work: Callable[[Database], Awaitable[_Found]]) -> _Found:
    """What `work` does with the running server's database, as a second process does."""

    async def done() -> _Found:
        database = await Database.open(f"sqlite+aiosqlite:///{server.data / 'lading.db'}")
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(done())


def signer_of(server: Server) -> TokenSigner:
    """The server's own signing keys: what they sign differs from its own tokens in the claims alone."""
    store = SecretStore(load_master_key(DataFolder(server.data), may_create=False))
    return in_database(server, lambda database: TokenSigner.load(database, store))


def files_of(server: Server) -> set[str]:
    """Every file that the server's tree keeps, below and beside its data folder; what comes and goes by itself left out."""
    root = server.data.parent
    passing = {"run", "metrics", "spool"}
    names = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {str(name) for name in names if not passing & set(name.parts) and not name.name.endswith(("-wal", "-shm"))}


def peak_bytes(server: Server) -> int:
    """The most memory that any process of the tree has held so far, nginx's workers among them."""
    told_of = [(Path("/proc") / str(pid) / "status").read_text().splitlines() for pid in server.children()]
    return max(int(line.split()[1]) * 1024 for lines in told_of for line in lines if line.startswith("VmHWM:"))
