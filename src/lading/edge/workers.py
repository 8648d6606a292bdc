"""The app server for when there is no nginx: Granian, with TLS by itself. Run as `python -m lading.edge.workers JSON`."""

import gc
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
from granian.server import Server

from lading.edge.lifeline import die_with_parent

_REPLACE_SECONDS = (
    10.0  # how long a new worker has for its start before the old one is ended; the dead are replaced at once
)
_APPLICATION = "lading.app.app_worker:application"


@dataclass(frozen=True, slots=True)
class WorkersPlan:
    """Where it listens, and the certificate's files."""

    workers: int
    drain_seconds: int
    host: str
    port: int
    certificate: str
    key: str

    def command(self) -> list[str]:
        """The command line that runs it."""
        return [sys.executable, "-m", "lading.edge.workers", json.dumps(asdict(self))]


def run(plan: WorkersPlan) -> None:
    """Serves until SIGTERM; SIGHUP makes the workers anew, with the certificate as it is then."""
    die_with_parent()
    Server(
        _APPLICATION,
        address=plan.host,
        port=plan.port,
        interface=Interfaces.ASGI,
        workers=plan.workers,
        loop=Loops.uvloop,
        http=HTTPModes.auto,
        websockets=False,
        factory=True,
        backlog=1024,
        backpressure=512,
        log_level="warning",  # type: ignore[arg-type]  # Granian takes the word, its annotation the enumeration
        ssl_cert=Path(plan.certificate),
        ssl_key=Path(plan.key),
        ssl_protocol_min=SSLProtocols.tls12,
        respawn_failed_workers=True,
        respawn_interval=_REPLACE_SECONDS,
        workers_kill_timeout=max(plan.drain_seconds, 1),
        process_name=None,
    ).serve()


if __name__ == "__mp_main__":  # Granian makes its workers by multiprocessing, which imports this first
    gc.disable()  # as lading.app's own processes do, until their start is over
if __name__ == "__main__":
    run(WorkersPlan(**json.loads(sys.argv[1])))
