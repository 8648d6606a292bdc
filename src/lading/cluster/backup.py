"""Backup and restore of an installation on SQLite and files.

A backup is one tar file: what it holds first (`backup.json`: version, schema, every blob's digest and place), then the
database as SQLite's backup API gives it while the server runs, the master key, the replica's id. Content is not in it: it is
kept aside as hard links (`content`), or checked on restore against the list. The file opens every secret of the
installation: 0600, and its keeper should encrypt it.
"""

import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lading.core.clock import rfc3339
from lading.core.errors import ConflictError, InvalidError
from lading.core.folders import DataFolder, sync_folder

_FORMAT = 1
_CONTENTS = "backup.json"
_FILES = ("lading.db", "master.key", "replica.id")
_SIZE_LIMIT = 1 << 40  # bytes of one member

Progress = Callable[[int, int], None]
"""Told how many blobs are done, of how many."""


class BackupInvalidError(InvalidError):
    """Not a backup of ours, or a damaged one."""


class TargetInUseError(ConflictError):
    """Where something is already, nothing is put."""


@dataclass(frozen=True, slots=True)
class BlobPlace:
    """A blob that the backup's database names: its path below `blobs/`, and its size."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds."""

    version: str
    schema: str
    made_at: str
    blobs: tuple[BlobPlace, ...]


def make_backup(
    folder: DataFolder, target: Path, *, version: str, now: datetime, content: Path | None, progress: Progress
) -> Backup:
    """`target` is a backup of the data folder as it is now, on the disk; the server may run meanwhile. Blocks.

    With `content`, that folder holds hard links (copies on another file system) to all blobs. Made before the database is
    copied and after, so that a collection in between takes nothing from it. Errors: TargetInUseError, OSError.
    """
    if target.exists():
        raise TargetInUseError(f"{target} exists already: choose another name")
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".backup-") as name:
        snapshot = Path(name) / "lading.db"
        if content is not None:
            _keep_content(folder, content, _places(folder.database), progress)
        _copy_database(folder.database, snapshot)
        places = _places(snapshot)
        if content is not None:
            _keep_content(folder, content, places, progress)
        backup = Backup(version, _schema(snapshot), rfc3339(now), tuple(places))
        partial = Path(name) / "backup.tar"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as out:  # noqa: PTH123 — a descriptor, so that the mode holds from the first byte
            _write(
                out,
                backup,
                {"lading.db": snapshot, "master.key": folder.master_key, "replica.id": folder.root / "replica.id"},
            )
            out.flush()
            os.fsync(out.fileno())
        partial.rename(target)
    sync_folder(target.absolute().parent)
    return backup


def restore_backup(source: Path, folder: DataFolder, *, content: Path | None, progress: Progress) -> list[str]:
    """The data folder is what the backup was made of; the digests' paths that have no content there. Blocks.

    `content` is the folder of hard links made with the backup; blobs that lie in the data folder already are kept.
    Errors: BackupInvalidError, TargetInUseError when the folder has a database or key, OSError.
    """
    for name in _FILES:
        if (folder.root / name).exists():
            raise TargetInUseError(f"{folder.root} holds an installation already: restore into an empty folder")
    backup = read_backup(source)
    folder.make()
    with tarfile.open(source) as archive:
        for name in _FILES:
            member = archive.getmember(name)
            partial = folder.root / f".{name}.part"
            stream = archive.extractfile(member)
            if stream is None or member.size > _SIZE_LIMIT:
                raise BackupInvalidError(f"{source}: {name} is no file")
            with partial.open("wb") as out:
                partial.chmod(0o600)
                shutil.copyfileobj(stream, out)
                out.flush()
                os.fsync(out.fileno())
            partial.rename(folder.root / name)
    missing = []
    for number, place in enumerate(backup.blobs, 1):
        path = folder.blobs / place.path
        if not path.exists() and content is not None and (content / place.path).exists():
            _link(content / place.path, path)
        if not path.exists() or path.stat().st_size != place.size_bytes:
            missing.append(place.path)
        progress(number, len(backup.blobs))
    sync_folder(folder.root)
    return missing


def read_backup(source: Path) -> Backup:
    """What a backup holds. Errors: BackupInvalidError, OSError."""
    try:
        with tarfile.open(source) as archive:
            stream = archive.extractfile(_CONTENTS)
            document: dict[str, Any] = json.load(stream) if stream is not None else {}
            names = set(archive.getnames())
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise BackupInvalidError(f"{source} is not a backup made by `lading backup`, or it is damaged") from error
    if document.get("format") != _FORMAT or not names.issuperset(_FILES):
        raise BackupInvalidError(f"{source} is a backup of a form that this version does not know")
    blobs = tuple(BlobPlace(path, size) for path, size in document["blobs"] if _is_place(path))
    return Backup(document["version"], document["schema"], document["made_at"], blobs)


def _is_place(path: str) -> bool:
    """Text from outside becomes a path only when it is one of ours."""
    algorithm, slash, rest = path.partition("/")
    return (
        algorithm in {"sha256", "sha512"}
        and slash == "/"
        and ".." not in rest
        and rest.replace("/", "").replace(".", "").isalnum()
    )


def _write(out: io.BufferedWriter, backup: Backup, files: dict[str, Path]) -> None:
    document = {
        "format": _FORMAT,
        "version": backup.version,
        "schema": backup.schema,
        "made_at": backup.made_at,
        "blobs": [[place.path, place.size_bytes] for place in backup.blobs],
    }
    text = json.dumps(document).encode()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo(_CONTENTS)
        entry.size, entry.mode = len(text), 0o600
        archive.addfile(entry, io.BytesIO(text))
        for name, path in files.items():
            archive.add(path, name, recursive=False)


def _copy_database(source: Path, target: Path) -> None:
    """A consistent copy, taken while others write: SQLite's backup API."""
    reader, writer = sqlite3.connect(f"file:{source}?mode=ro", uri=True), sqlite3.connect(target)
    try:
        reader.backup(writer, pages=4096)
        writer.execute("PRAGMA journal_mode = DELETE")
    finally:
        reader.close()
        writer.close()


def _schema(database: Path) -> str:
    rows = _query(database, "SELECT version_num FROM alembic_version")
    return str(rows[0][0])


def _places(database: Path) -> list[BlobPlace]:
    rows = _query(database, "SELECT digest, generation, size FROM blobs ORDER BY digest")
    places = []
    for digest, generation, size in rows:
        algorithm, _, text = digest.partition(":")
        places.append(BlobPlace(f"{algorithm}/{text[:2]}/{text}.{generation}", size))
    return places


def _query(database: Path, statement: str) -> Sequence[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def _keep_content(folder: DataFolder, content: Path, places: Iterable[BlobPlace], progress: Progress) -> None:
    wanted = list(places)
    for number, place in enumerate(wanted, 1):
        source, target = folder.blobs / place.path, content / place.path
        if not target.exists() and source.exists():
            _link(source, target)
        progress(number, len(wanted))


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        partial = target.with_name(f".{target.name}.part")
        shutil.copyfile(source, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(target)
    sync_folder(target.parent)
