"""A Docker engine of the tests' own: all that it keeps lies in a temporary folder, and it ends with the tests.

It runs in a mount namespace in which /etc/docker and /etc/hosts are the tests', so that what it trusts is theirs to say and
nothing of this machine is changed. The name `registry.test` is 0.0.0.0 there, which connects to this machine without looking
like it: Docker takes 127.0.0.0/8, and lately ::1, for servers that need no certificate, or have no TLS at all.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.clients import Client, environment, program, root_or_skip
from support.servers import descendants

REMOTE_NAME = "registry.test"
_HOSTS = f"127.0.0.1 localhost\n0.0.0.0 {REMOTE_NAME}\n"
_READY_SECONDS = 60
_IN_ITS_NAMESPACE = """
mount --bind "$1/etc/docker" /etc/docker && mount --bind "$1/etc/hosts" /etc/hosts && shift && exec "$@"
"""


@dataclass(frozen=True)
class Engine:
    """A running engine."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def certificates(self) -> Path:
        """The engine's /etc/docker/certs.d."""
        return self.folder / "etc/docker/certs.d"

    @property
    def socket(self) -> str:
        return f"unix://{self.folder / 'socket'}"

    def client(self, program: str, home: Path) -> Client:
        """A program that sees the engine's files and host names, its own state in `home`."""
        inside = ("nsenter", "--target", str(self.process.pid), "--mount", "--")
        # The old builder makes layers without asking any registry, and has come with every engine.
        variables = {"DOCKER_HOST": self.socket, "DOCKER_BUILDKIT": "0", "DOCKER_CLI_HINTS": "false"}
        return Client((*inside, program), home, variables)


@contextlib.contextmanager
def start_engine() -> Iterator[Engine]:
    """An engine that has no image; gone afterwards. Skips where none can run."""
    docker = program("docker", "docker.io")
    daemon = program("dockerd", "docker.io")
    root_or_skip("the Docker engine")
    folder = Path(tempfile.mkdtemp(prefix="lading-engine-"))  # short: it holds sockets
    etc = folder / "etc"
    (etc / "docker").mkdir(parents=True)
    (etc / "hosts").write_text(_HOSTS)
    (folder / "daemon.json").write_text("{}")
    Path("/etc/docker").mkdir(exist_ok=True)
    command = [
        "unshare", "--mount", "--propagation", "private", "sh", "-c", _IN_ITS_NAMESPACE, "sh", str(folder),
        daemon, "--config-file", str(folder / "daemon.json"), "--data-root", str(folder / "data"),
        "--exec-root", str(folder / "run"), "--pidfile", str(folder / "pid"), "--host", f"unix://{folder / 'socket'}",
        "--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip6tables=false",
        "--ip-forward=false", "--ip-masq=false",
    ]  # fmt: skip
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment(folder)
        )
    try:
        _wait(Engine(folder, process), docker, log)
        yield Engine(folder, process)
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(engine: Engine, docker: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and engine.process.poll() is None:
        asked = subprocess.run(
            [docker, "--host", engine.socket, "version"],
            env=environment(engine.folder),
            capture_output=True,
            check=False,
        )
        if asked.returncode == 0:
            return
        time.sleep(0.2)
    pytest.skip(f"dockerd can't run here (containers need --privileged for it): {log.read_text()[-300:].strip()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    tree = descendants(process.pid)
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in tree:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
