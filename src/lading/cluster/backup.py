"""Backup and restore of an installation on SQLite and files.

A backup is one tar file: what it holds first (`backup.json`: version, schema, every blob's digest and place), then the
database as SQLite's backup API gives it while the server runs, the master key, the replica's id, the settings file where one
was named; last (`SHA256SUMS`) the digests of all these, so that a damaged or cut file is known before anything is put anywhere.
Content is not in it: it is kept aside as hard links (`content`), or checked on restore against the list. The file opens every
secret of the installation: 0600, and its keeper should encrypt it.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from lading.cluster.first_start import replica_id
from lading.core.clock import rfc3339
from lading.core.errors import ConflictError, InvalidError
from lading.core.folders import DataFolder, sync_folder

_FORMAT = 1
_CONTENTS = "backup.json"
_FILES = ("lading.db", "master.key", "replica.id")
_SETTINGS = "lading.toml"
_SUMS = "SHA256SUMS"
_TEXT_LIMIT = 1 << 30  # bytes of what is read into memory
_PLACE = re.compile(r"(sha256/[0-9a-f]{2}/[0-9a-f]{64}|sha512/[0-9a-f]{2}/[0-9a-f]{128})\.[0-9a-f]{8}", re.ASCII)
_HARMLESS = {"blobs", "lost+found"}  # what a folder to restore into may hold

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
    has_settings: bool  # a settings file is in it


def make_backup(
    folder: DataFolder,
    target: Path,
    *,
    version: str,
    now: datetime,
    master_key: Path,
    settings: Path | None,
    content: Path | None,
    progress: Progress,
) -> Backup:
    """`target` is a backup of the data folder as it is now, on the disk; the server may run meanwhile. Blocks.

    With `content`, that folder holds hard links (copies on another file system) to all blobs. Made before the database is
    copied and after, so that a collection in between takes nothing from it. Errors: TargetInUseError, OSError, sqlite3.Error.
    """
    if target.exists() or target.is_symlink():
        raise TargetInUseError(f"{target} exists already: choose another name")
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".backup-") as name:
        snapshot = Path(name) / "lading.db"
        if content is not None:
            _keep_content(folder, content, _places(folder.database), progress)
        _copy_database(folder.database, snapshot)
        places = _places(snapshot)
        if content is not None:
            _keep_content(folder, content, places, progress)
        backup = Backup(version, _schema(snapshot), rfc3339(now), tuple(places), settings is not None)
        replica_id(folder)  # made, when the server has never come so far
        files = {"lading.db": snapshot, "master.key": master_key, "replica.id": folder.root / "replica.id"}
        partial = Path(name) / "backup.tar"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as out:  # noqa: PTH123 — a descriptor, so that the mode holds from the first byte
            _write(out, backup, files if settings is None else {**files, _SETTINGS: settings})
            out.flush()
            os.fsync(out.fileno())
        partial.rename(target)
    sync_folder(target.absolute().parent)
    return backup


def restore_backup(source: Path, folder: DataFolder, *, content: Path | None, progress: Progress) -> list[str]:
    """The data folder is what the backup was made of; the digests' paths that have no content there. Blocks.

    `content` is the folder of hard links made with the backup; blobs that lie in the data folder already are kept.
    Errors: BackupInvalidError, TargetInUseError when the folder holds anything but blobs, OSError; nothing is changed then.
    """
    parts = {name: folder.root / f".{name}.part" for name in (*_FILES, _SETTINGS)}
    _check_empty(folder, {part.name for part in parts.values()})
    backup = read_backup(source)
    folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = [*_FILES, *([_SETTINGS] if backup.has_settings else [])]
    try:
        with tarfile.open(source, "r:") as archive:
            for name in wanted:
                _copy(_member(archive, name), parts[name])
        folder.make()
        for name in reversed(wanted):  # the database last: with it the folder is an installation
            parts[name].rename(folder.root / name)
    except BaseException:
        for part in parts.values():
            part.unlink(missing_ok=True)
        raise
    sync_folder(folder.root)
    missing = []
    for number, place in enumerate(backup.blobs, 1):
        path = folder.blobs / place.path
        if not path.exists() and content is not None and (content / place.path).exists():
            _link(content / place.path, path)
        if not path.exists() or path.stat().st_size != place.size_bytes:
            missing.append(place.path)
        progress(number, len(backup.blobs))
    return missing


def _check_empty(folder: DataFolder, leftovers: set[str]) -> None:
    """Beside an old database's `-wal` a restored one would be damaged; so nothing may be there, but blobs and `leftovers`."""
    found = {path.name for path in folder.root.iterdir()} if folder.root.exists() else set()
    if found - _HARMLESS - leftovers:
        raise TargetInUseError(
            f"{folder.root} is not empty: restore into a new folder, or one that holds nothing but blobs/"
        )


def read_backup(source: Path) -> Backup:
    """What a backup holds, which is whole. Errors: BackupInvalidError, OSError."""
    try:
        with tarfile.open(source, "r:") as archive:
            sums = _read_sums(_read(archive, _SUMS).decode())
            if sorted(archive.getnames()) != sorted([*sums, _SUMS]) or not sums.keys() <= {
                _CONTENTS,
                *_FILES,
                _SETTINGS,
            }:
                raise BackupInvalidError(f"{source} holds files that no backup has")
            for name, expected in sums.items():
                if _sha256(_member(archive, name)) != expected:
                    raise BackupInvalidError(f"{source} is damaged: {name} is not what was backed up")
            document: dict[str, Any] = json.loads(_read(archive, _CONTENTS))
        if document["format"] != _FORMAT or not sums.keys() >= {_CONTENTS, *_FILES}:
            raise BackupInvalidError(f"{source} is a backup of a form that this version does not know")
        blobs = tuple(_place(path, size) for path, size in document["blobs"])
        return Backup(document["version"], document["schema"], document["made_at"], blobs, _SETTINGS in sums)
    except (tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise BackupInvalidError(
            f"{source} is not a backup made by `lading backup`, or it is damaged, or still encrypted"
        ) from error


def _place(path: str, size_bytes: int) -> BlobPlace:
    """Text from outside becomes a path only when it is one of ours. Errors: ValueError."""
    if not _PLACE.fullmatch(path):
        raise ValueError(path)
    return BlobPlace(path, int(size_bytes))


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """A file of the archive; nothing else of it is ever looked at. Errors: KeyError."""
    member = archive.getmember(name)
    stream = archive.extractfile(member) if member.isreg() else None
    if stream is None:
        raise KeyError(name)
    return stream


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    text = _member(archive, name).read(_TEXT_LIMIT)
    if len(text) == _TEXT_LIMIT:
        raise ValueError(name)
    return text


def _read_sums(text: str) -> Mapping[str, str]:
    """The digests by name. Shape: lines of `sha256sum`."""
    pairs = (line.split("  ", 1) for line in text.splitlines())
    return {name: digest for digest, name in pairs}


def _copy(stream: IO[bytes], path: Path) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as out:  # noqa: PTH123 — a descriptor, so that the mode holds from the first byte
        shutil.copyfileobj(stream, out)
        out.flush()
        os.fsync(out.fileno())


def _write(out: io.BufferedWriter, backup: Backup, files: Mapping[str, Path]) -> None:
    document = {
        "format": _FORMAT,
        "version": backup.version,
        "schema": backup.schema,
        "made_at": backup.made_at,
        "blobs": [[place.path, place.size_bytes] for place in backup.blobs],
    }
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive, contextlib.ExitStack() as opened:
        streams: dict[str, IO[bytes]] = {_CONTENTS: io.BytesIO(json.dumps(document).encode())}
        streams |= {name: opened.enter_context(path.open("rb")) for name, path in files.items()}
        sums = "".join(f"{_add(archive, name, stream)}  {name}\n" for name, stream in streams.items())
        _add(archive, _SUMS, io.BytesIO(sums.encode()))


def _add(archive: tarfile.TarFile, name: str, stream: IO[bytes]) -> str:
    """The stream is a file of the archive; its SHA-256."""
    digest, entry = _sha256(stream), tarfile.TarInfo(name)
    entry.size, entry.mode = stream.tell(), 0o600
    stream.seek(0)
    archive.addfile(entry, stream)
    return digest


def _sha256(stream: IO[bytes]) -> str:
    """Of all that is left of the stream, hex."""
    hashed = hashlib.sha256()
    while chunk := stream.read(1024 * 1024):
        hashed.update(chunk)
    return hashed.hexdigest()


def _copy_database(source: Path, target: Path) -> None:
    """A consistent copy, taken while others write: SQLite's backup API."""
    reader, writer = sqlite3.connect(f"file:{source}?mode=ro", uri=True), sqlite3.connect(target)
    try:
        # In one step, since each write of another process between two steps makes it begin anew; WAL readers stop no writer.
        reader.backup(writer)
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
    content.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, place in enumerate(wanted, 1):
        source, target = folder.blobs / place.path, content / place.path
        if not target.exists() and source.exists():
            _link(source, target)
        progress(number, len(wanted))


def _link(source: Path, target: Path) -> None:
    for folder in (target.parent.parent, target.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        partial = target.with_name(f".{target.name}.part")
        with source.open("rb") as stream:
            _copy(stream, partial)
        partial.rename(target)
    sync_folder(target.parent)
