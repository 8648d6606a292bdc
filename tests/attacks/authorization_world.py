"""The world of the authorization table: two organizations with the same things, and a client for each role."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lading.events.log import SYSTEM
from lading.jobs.jobs import JobRequest
from lading.jobs.queue import Queue
from lading.jobs.workers import Workers
from support.apps import PASSWORD, Doors, Repository, open_doors
from support.registries import make_image

ENZI = "/enzi/v0/accounts"
PEOPLE = ("member", "reader", "writer", "repoadmin", "owner")
NOT_THERE = {
    "acme": "zanzibas", "app": "zanzapq", "readers": "zanzreaderz", "member": "zanzmembez", "reader": "zanzreadez",
    "robot": "zanzbou", "token": "0" * 32, "key": "0" * 64, "job": "0" * 32, "sync": "0" * 32, "worker": "0" * 12,
    "manifest": f"sha256:{'0' * 64}",
}  # fmt: skip
"""Names and ids that nobody has."""
_PASSING = frozenset({"events", "sessions", "replicas"})
_PASSING_COLUMNS = frozenset({"last_used_at"})
"""What every request may leave behind."""


@dataclass
class World:
    """`ours` and `others` are the names and ids of acme's and of zanzibar's things, by the table's words."""

    doors: Doors
    file: Path  # the database's
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    ours: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    _kept: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect(":memory:"))
    _questions: list[tuple[str, str]] = field(default_factory=list)

    def keep(self) -> None:
        """The world as it is now is what `undo` brings back."""
        with closing(sqlite3.connect(self.file)) as live:
            live.backup(self._kept)
        self._questions = _questions(self._kept)

    def undo(self) -> None:
        with closing(sqlite3.connect(self.file)) as live:
            self._kept.backup(live)

    def changes(self) -> list[str]:
        """The tables that are not as they were kept."""
        with closing(sqlite3.connect(self.file)) as live:
            return [
                table
                for table, question in self._questions
                if live.execute(question).fetchall() != self._kept.execute(question).fetchall()
            ]

    async def done(self, method: str, path: str, form: object = None) -> Any:
        """What the admin gets for it."""
        answer = await self.clients["admin"].request(method, path, json=form)
        assert answer.is_success, (path, answer.text)
        return answer.json() if answer.content else None


def _questions(database: sqlite3.Connection) -> list[tuple[str, str]]:
    found = []
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
        if table not in _PASSING and not table.startswith("sqlite_"):
            columns = {row[1] for row in database.execute(f"PRAGMA table_info({table})")} - _PASSING_COLUMNS
            found.append((table, f"SELECT {', '.join(sorted(columns))} FROM {table}"))  # noqa: S608 — our own names
    return found


@asynccontextmanager
async def make_world(folder: Path, template: Path) -> AsyncIterator[World]:
    """The world, over SQLite in `folder`."""
    file = folder / "lading.db"
    file.write_bytes(template.read_bytes())
    async with open_doors(f"sqlite+aiosqlite:///{file}", folder / "data") as doors:
        world = World(doors, file)
        world.clients = {"anonymous": doors.client(), "admin": doors.client("admin")}
        world.ours = await _organization(world, "acme", "app", "")
        world.others = await _organization(world, "zanzibar", "zanzapp", "zanz")
        await world.done("POST", ENZI, {"name": "stranger", "password": PASSWORD})
        world.clients |= {name: doors.client(name) for name in ("stranger", *PEOPLE)}
        world.clients["robot"] = doors.client("robot$acme+bot", world.ours["robot_secret"])
        rights = [{"repository": "acme/app", "accessLevel": "read-only"}]
        made = await world.done("POST", "/api/v0/api_tokens?username=owner", {"repositories": rights})
        world.clients["narrowed"] = doors.client("owner", made["token"])
        await world.done("PUT", "/api/v0/roles/scanner", {"permissions": ["repository:scan:start"]})
        await world.done("POST", "/api/v0/crons", {"action": "onlinegc", "schedule": "@daily"})
        await world.done("POST", "/api/v0/action_configs", {"action": "onlinegc_events", "parameters": {"toKeep": "9"}})
        provider = {"issuer": "https://127.0.0.1:1", "clientID": "lading"}
        await world.done("PUT", "/enzi/v0/config/auth/oidc/corporate", provider)
        await Workers(doors.database, doors.parts.clock).beat("0123456789ab")
        queue = Queue(doors.database, doors.parts.clock)
        for words in (world.ours, world.others):
            for word, action in (("job", "onlinegc"), ("sync", "ldap-sync")):
                words[word] = (await queue.submit(JobRequest(action), by=SYSTEM)).id
        world.keep()
        yield world
        for client in world.clients.values():
            await client.aclose()


async def _organization(world: World, name: str, repository: str, prefix: str) -> dict[str, str]:
    """Makes an organization and what belongs to it; the names and ids of all that."""
    people = {role: f"{prefix}{role}" for role in PEOPLE}
    await world.done("POST", ENZI, {"name": name, "isOrg": True})
    for role, person in people.items():
        await world.done("POST", ENZI, {"name": person, "password": PASSWORD})
        await world.done("PUT", f"{ENZI}/{name}/members/{person}", {"isAdmin": role == "owner"})
    await world.done("POST", f"/api/v0/repositories/{name}", {"name": repository})
    for role, level in (("reader", "read-only"), ("writer", "read-write"), ("repoadmin", "admin")):
        team = f"{prefix}{role}s"
        await world.done("POST", f"{ENZI}/{name}/teams", {"name": team})
        await world.done("PUT", f"{ENZI}/{name}/teams/{team}/members/{people[role]}", {})
        access = f"/api/v0/repositories/{name}/{repository}/teamAccess/{team}"
        await world.done("PUT", access, {"accessLevel": level})
    access = f"/api/v0/repositoryNamespaces/{name}/teamAccess/{prefix}readers"
    await world.done("PUT", access, {"accessLevel": "read-only"})
    rights = [{"repository": f"{name}/{repository}", "accessLevel": "read-write"}]
    robots = f"/api/v0/accounts/{name}/robots"
    robot = await world.done("POST", robots, {"name": f"{prefix}bot", "repositories": rights})
    token = await world.done("POST", f"/api/v0/api_tokens?username={people['member']}", {})
    key = await world.done("POST", f"{ENZI}/{people['member']}/publicKeys", {"publicKey": _new_key()})
    holder = await world.doors.holder(people["owner"], f"repository:{name}/{repository}:pull,push")
    digest = await Repository(world.doors, f"{name}/{repository}", holder).push_image("latest", make_image())
    await holder.aclose()
    return {
        **people, "acme": name, "app": repository, "readers": f"{prefix}readers", "robot": f"{prefix}bot",
        "token": token["hashedToken"], "key": key["id"], "manifest": digest, "worker": "0123456789ab",
        "robot_secret": robot["token"]["token"],
    }  # fmt: skip


def _new_key() -> str:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


NEW_KEY = json.dumps(_new_key())[1:-1]
"""A public key that nobody registered, as it stands between quotes in JSON."""
