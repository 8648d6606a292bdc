"""Attack row 25: the collector runs while clients push. What was acknowledged and is referenced is never lost."""

import asyncio
import json
import random
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event

import httpx
import pytest

from lading.app.boot import Boot
from lading.app.parts import open_parts
from lading.core.folders import DataFolder
from support.databases import PostgresqlServer
from support.registries import CONFIG, LAYER, OCI_MANIFEST, descriptor, digest_of, push_blob
from support.servers import Server, start_server

ENOUGH = 10  # blobs taken, and images pushed by each client meanwhile: then there was a race
CLIENTS = 3
# Few blobs for all clients, so that one needs again what another one just gave up.
LAYERS = [secrets.token_bytes(2000) for _ in range(6)]
CONFIG_BYTES = b'{"architecture": "amd64", "os": "linux"}'
REPOSITORIES = [f"admin/race{number}" for number in range(CLIENTS)]
SCOPES = [f"repository:{name}:pull,push,delete" for name in REPOSITORIES]


@pytest.fixture(params=[("nginx", "sqlite"), ("none", "sqlite"), ("nginx", "postgresql")], ids="-".join)
def collected(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of our own: without a grace time, so that nothing but a reference holds a blob, and no image may be sparse,
    so that a manifest is accepted only with all that it names."""
    edge, kind = request.param
    variables = {"LADING_GARBAGE__GRACE_HOURS": "0", "LADING_REGISTRY__SPARSE_IMAGES": "false"}
    if kind == "postgresql":
        postgresql: PostgresqlServer = request.getfixturevalue("postgresql")
        variables["LADING_DATABASE__URL"] = postgresql.create()
    with start_server(edge, variables, workers=2) as server:
        yield server


def lading(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lading"), *words, "--data", server.data, "--json"],
        env=server.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@dataclass
class Pusher:
    """A client that pushes image after image to one repository, gives up the last one, and looks at what it has."""

    client: httpx.Client
    name: str
    token: dict[str, str]
    random: random.Random
    pushed: int = 0

    def run(self, ended: Event) -> None:
        last = None
        while not ended.is_set():
            layers = self.random.sample(LAYERS, 3)
            digest = self.push(layers)
            self.check(layers)
            if last not in {None, digest}:
                path = f"/v2/{self.name}/manifests/{last}"
                assert self.client.delete(path, headers=self.token).status_code == 202
            last = digest
            self.pushed += 1

    def push(self, layers: list[bytes]) -> str:
        """The image is acknowledged, under the tag. The collector may take a blob before the manifest names it."""
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(CONFIG_BYTES, CONFIG),
            "layers": [descriptor(layer, LAYER) for layer in layers],
        }
        body = json.dumps(document).encode()
        ways = ["trust", "look", "mount", "send"]
        while True:
            for blob in (CONFIG_BYTES, *layers):
                self.have(blob, self.random.choice(ways))
            ways = ["look", "mount", "send"]
            answer = self.client.put(
                f"/v2/{self.name}/manifests/latest", content=body, headers={**self.token, "Content-Type": OCI_MANIFEST}
            )
            if answer.status_code == 201:
                return digest_of(body)
            assert answer.json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN", answer.text

    def have(self, blob: bytes, how: str) -> None:
        """As clients do: not sent when it is there already, mounted when it is elsewhere, sent otherwise."""
        digest, base = digest_of(blob), f"/v2/{self.name}/blobs"
        if how == "trust":
            return
        if how == "look" and self.client.head(f"{base}/{digest}", headers=self.token).status_code == 200:
            return
        if how == "mount":
            source = self.random.choice(REPOSITORIES)
            answer = self.client.post(f"{base}/uploads/", params={"mount": digest, "from": source}, headers=self.token)
            assert answer.status_code in {201, 202}
            if answer.status_code == 201:
                return
        push_blob(self.client, self.name, blob, self.token)

    def check(self, layers: list[bytes]) -> None:
        """What was acknowledged is there, byte for byte."""
        shown = self.client.get(f"/v2/{self.name}/manifests/latest", headers=self.token)
        assert shown.status_code == 200
        for blob in (CONFIG_BYTES, *layers):
            got = self.client.get(f"/v2/{self.name}/blobs/{digest_of(blob)}", headers=self.token)
            assert (got.status_code, got.content) == (200, blob)


async def collect_until(server: Server, raced: Callable[[], bool], failed: Callable[[], bool]) -> None:
    """As `lading gc --now` in a loop, without the time that a program needs to start."""
    taken = 0
    async with open_parts(Boot.read(DataFolder(server.data).boot)) as parts:
        while not failed() and (taken < ENOUGH or not raced()):
            taken += (await parts.garbage.collect(quiet, grace=timedelta(0))).blobs.count


async def quiet(_done: int, _total: int, _what: str) -> None: ...


def test_attack_25_what_is_pushed_while_the_collector_runs_is_never_lost(collected: Server) -> None:
    """distribution#3544."""
    token, ended = collected.bearer(*SCOPES), Event()
    pushers = [
        Pusher(collected.client(name=None), name, token, random.Random(number))  # noqa: S311 — which blob, not a secret
        for number, name in enumerate(REPOSITORIES)
    ]
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(pusher.run, ended) for pusher in pushers]
        try:
            asyncio.run(
                collect_until(
                    collected,
                    lambda: all(pusher.pushed >= ENOUGH for pusher in pushers),
                    lambda: any(done.done() for done in running),
                )
            )
        finally:
            ended.set()
        for done in running:
            done.result()
    assert lading(collected, "gc", "--now").returncode == 0
    for pusher in pushers:
        manifest = pusher.client.get(f"/v2/{pusher.name}/manifests/latest", headers=token).json()
        named = {item["digest"] for item in (manifest["config"], *manifest["layers"])}
        pusher.check([layer for layer in LAYERS if digest_of(layer) in named])
        pusher.client.close()
    verified = lading(collected, "verify")
    assert verified.returncode == 0, verified.stdout
