"""Real servers for tests: `lading serve` on a free port, its data in a temporary folder, stopped by its process id."""

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

PASSWORD = "correct horse battery"
_READY_SECONDS = 60
CHEAP_PASSWORDS = {
    "LADING_PASSWORDS__MEMORY_KIB": "8192",
    "LADING_PASSWORDS__ITERATIONS": "1",
    "LADING_PASSWORDS__LANES": "1",
}
"""Settings with which hashing a password costs next to nothing."""


def nginx_or_skip() -> None:
    if shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        pytest.skip("nginx is not installed: apt-get install nginx")


@dataclass
class Server:
    """A running server. `start` may be called again after `stop` or `kill`: the data stays."""

    data: Path
    edge: str
    variables: Mapping[str, str] = field(default_factory=dict)
    password: str = PASSWORD
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    trusted: Path | None = None  # the authority of a certificate that the operator brought

    @property
    def log(self) -> Path:
        return self.data.with_name(self.data.name + ".log")

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    @property
    def authority(self) -> Path:
        return self.trusted or self.data / "tls" / "ca.pem"

    def command(self) -> list[str]:
        port, data = str(self.port), str(self.data)
        return [
            str(Path(sys.executable).with_name("lading")), "serve",
            "--data", data, "--host", "127.0.0.1", "--port", port, "--edge", self.edge,
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("LADING_")}
        return {**clean, "LADING_ADMIN_PASSWORD": self.password, **self.variables}

    def start(self) -> "Server":
        """Runs it until it says that it is ready."""
        with self.log.open("ab") as log:
            begin = self.log.stat().st_size
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=subprocess.STDOUT, env=self.environment(), stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            for line in self.log.read_bytes()[begin:].decode(errors="replace").splitlines():
                if line.startswith("ready https://"):
                    self.port = int(line.rpartition(":")[2])
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-4000:]}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it by a signal; its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process = None
        return status

    def children(self) -> list[int]:
        """The process ids of its whole tree, itself not counted."""
        if self.process is None:
            return []
        return descendants(self.process.pid)

    def client(self, *, name: str | None = "admin", secret: str | None = None) -> httpx.Client:
        """An HTTP client that trusts the server, signed in by Basic."""
        context = ssl.create_default_context(cafile=str(self.authority))
        auth = None if name is None else (name, self.password if secret is None else secret)
        return httpx.Client(base_url=self.url, verify=context, auth=auth, timeout=60)

    def bearer(self, *scopes: str, name: str | None = "admin", secret: str | None = None) -> dict[str, str]:
        """The header of a bearer token with these scopes."""
        with self.client(name=name, secret=secret) as client:
            answer = client.get("/auth/token", params={"service": self.host, "scope": list(scopes)})
            answer.raise_for_status()
            return {"Authorization": f"Bearer {answer.json()['token']}"}

    def cleanup(self) -> None:
        """Nothing of it is left, however the test ended."""
        tree = self.children()
        self.stop()
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """All children of a process, their children, and so on."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        for child in parents.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


@contextlib.contextmanager
def start_server(edge: str, variables: Mapping[str, str] | None = None, *, workers: int = 1) -> Iterator[Server]:
    """A server of the test's own with more settings, as variables; gone afterwards. Each worker takes a second to start."""
    if edge == "nginx":
        nginx_or_skip()
    folder = Path(tempfile.mkdtemp(prefix="lading-test-"))
    usual = {
        "LADING_REGISTRY__CREATE_REPOSITORY_ON_PUSH": "true",
        "LADING_SERVER__WORKERS": str(workers),
        **CHEAP_PASSWORDS,
    }
    server = Server(folder / "data", edge, {**usual, **(variables or {})})
    try:
        yield server.start()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_nginx_server() -> Iterator[Server]:
    with start_server("nginx", workers=2) as started:
        yield started


@pytest.fixture(scope="session")
def shared_plain_server() -> Iterator[Server]:
    with start_server("none", workers=2) as started:
        yield started


@pytest.fixture(params=["nginx", "none"])
def server(request: pytest.FixtureRequest) -> Server:
    """A running server, once with nginx and once without, shared by all tests that leave it whole."""
    name = "shared_nginx_server" if request.param == "nginx" else "shared_plain_server"
    found: Server = request.getfixturevalue(name)
    return found


@pytest.fixture
def nginx_server(shared_nginx_server: Server) -> Server:
    """The running server with nginx, for tests of which one edge is enough."""
    return shared_nginx_server


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server with nginx that the test may kill, stop and start."""
    with start_server("nginx", workers=2) as started:
        yield started


@pytest.fixture(params=["nginx", "none"])
def own_server_of_each_edge(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that the test may kill, stop and start, once with nginx and once without."""
    with start_server(request.param, workers=2) as started:
        yield started
