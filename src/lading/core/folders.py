"""The data folder, drawn once. Nobody else builds these paths.

data/                 0700, owned by the user the server runs as
lading.db           SQLite database (with -wal and -shm); absent on PostgreSQL
write.lock          taken by whoever writes to SQLite
server.lock         held by a running `lading serve`
master.key          0600, the one secret that is a file
blobs/<algorithm>/<2 hex>/<hex>
uploads/<id>        bytes of an unfinished upload
spool/              request bodies that nginx has written and the app has not taken yet
quarantine/         blobs whose bytes no longer match their digest
tls/                certificate and key as nginx or the app server reads them, and the authority's certificate
run/                sockets, rendered nginx.conf, boot.json, metrics of this run; emptied at start
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths inside one data folder. `root` is absolute."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "lading.db"

    @property
    def server_lock(self) -> Path:
        return self.root / "server.lock"

    @property
    def master_key(self) -> Path:
        return self.root / "master.key"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def client_authorities(self) -> Path:
        """What nginx checks client certificates against: ours, and the additional ones."""
        return self.tls / "client-ca.pem"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def boot(self) -> Path:
        """The resolved settings of this run, which the children read."""
        return self.run / "boot.json"

    @property
    def metrics(self) -> Path:
        return self.run / "metrics"

    @property
    def socket(self) -> Path:
        """Where the app listens behind nginx."""
        return self.run / "app.sock"

    def make(self) -> None:
        """All folders exist, 0700. Errors: OSError as the system gives it."""
        for folder in (
            self.root,
            self.blobs,
            self.uploads,
            self.spool,
            self.quarantine,
            self.tls,
            self.run,
            self.metrics,
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on the disk: what was renamed into it stays there when the power goes. Blocks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """`path` holds exactly `data`, on the disk, or what it held before: never a part. Blocks."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 — a descriptor, so that the mode holds from the first byte
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
