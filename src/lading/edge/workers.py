"""The app workers: Granian, behind nginx on a socket, or with TLS by itself. Run as `python -m lading.edge.workers JSON`."""

import json
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
from granian.server import Server

from lading.edge.lifeline import die_with_parent

_RESPAWN_SECONDS = 0.2
_APPLICATION = "lading.app:application"


@dataclass(frozen=True, slots=True)
class WorkersPlan:
    """Where the app listens: `socket` behind nginx, else `host` and `port` with the certificate's files."""

    workers: int
    drain_seconds: int
    socket: str = ""
    host: str = ""
    port: int = 0
    certificate: str = ""
    key: str = ""

    def command(self) -> list[str]:
        """The command line that runs it."""
        return [sys.executable, "-m", "lading.edge.workers", json.dumps(asdict(self))]


def run(plan: WorkersPlan) -> None:
    """Serves until SIGTERM; SIGHUP makes the workers anew, with the certificate as it is then."""
    die_with_parent(signal.SIGTERM)
    tls = not plan.socket
    Server(
        _APPLICATION,
        address=plan.host or "127.0.0.1",
        port=plan.port or 8000,
        uds=Path(plan.socket) if plan.socket else None,
        uds_permissions=0o600 if plan.socket else None,
        interface=Interfaces.ASGI if tls else Interfaces.RSGI,
        workers=plan.workers,
        loop=Loops.uvloop,
        http=HTTPModes.auto if tls else HTTPModes.http1,
        websockets=False,
        factory=True,
        backlog=1024,
        backpressure=512,
        log_level="warning",  # type: ignore[arg-type]  # Granian takes the word, its annotation the enumeration
        ssl_cert=Path(plan.certificate) if tls else None,
        ssl_key=Path(plan.key) if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
        respawn_failed_workers=True,
        respawn_interval=_RESPAWN_SECONDS,
        workers_kill_timeout=max(plan.drain_seconds, 1),
        process_name=None,
    ).serve()


if __name__ == "__main__":
    run(WorkersPlan(**json.loads(sys.argv[1])))
