"""`lading bundle`: a client bundle of one's own, unpacked where only its owner reads it."""

import io
import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from lading.cli.output import console
from lading.cli.remote import Authority, LocalData, Target, Username, run_api, server_url
from lading.core.errors import InvalidError, SettingsError
from lading.core.folders import write_durably

_FILES_LIMIT = 64
_BYTES_LIMIT = 1024 * 1024  # of one file in the bundle


class BundleInvalidError(InvalidError):
    """What the server sent is no client bundle."""


def bundle(
    host: Annotated[str | None, typer.Argument(help="HOST:PORT; the current one when not given.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write it to: a new or empty one.")
    ] = Path("bundle"),
    label: Annotated[str, typer.Option(help="What the key is called in the account's list.")] = "",
    user: Annotated[str, typer.Option("--for", help="Whose bundle, if not one's own: for administrators.")] = "",
    ca: Authority = None,
    username: Username = None,
    data: LocalData = None,
) -> None:
    """Make a new key and certificate, and write them with all that Docker needs to sign in by them."""
    folder = output.expanduser().absolute()
    _check_folder(folder)
    if data is not None and not user:
        raise SettingsError("--data works as nobody in particular: say whose bundle with --for NAME")
    target = Target(None if host is None else server_url(host), ca, username, data)
    query = {key: value for key, value in (("label", label), ("username", user)) if value}
    files = _unpacked(run_api(target, lambda api: api.fetch("/api/clientbundle", **query)))
    try:
        _write(folder, files)
    except OSError as error:
        raise SettingsError(
            f"can't write {folder}: {error.strerror}; its key counts: delete it, or try again"
        ) from error
    console.print(f"wrote {len(files)} files to {folder}; key.pem is nowhere else, so keep it to yourself")
    console.print("next:")
    console.print(f"  sudo sh {folder}/env.sh engine   [dim]# this machine's Docker engine needs no docker login[/dim]")
    console.print(f"  sh {folder}/env.sh tools         [dim]# nor do your podman, skopeo, docker trust, notary[/dim]")
    console.print(f"  docker trust key load {folder}/key.pem   [dim]# sign with it[/dim]")


def _check_folder(folder: Path) -> None:
    """Errors: SettingsError. Asked before the key is made."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise SettingsError(f"{folder} is not empty: name another folder with --output")
    except NotADirectoryError as error:
        raise SettingsError(f"{folder} is a file: name another folder with --output") from error


def _unpacked(zipped: bytes) -> dict[str, bytes]:
    """The files of a bundle by path. Errors: BundleInvalidError."""
    files = {}
    try:
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            for entry in archive.infolist()[:_FILES_LIMIT]:
                path = PurePosixPath(entry.filename)
                if path.is_absolute() or ".." in path.parts or entry.file_size > _BYTES_LIMIT:
                    raise BundleInvalidError("the server's bundle holds a file that no bundle has; nothing was written")
                files[entry.filename] = archive.read(entry)
    except (zipfile.BadZipFile, EOFError) as error:
        raise BundleInvalidError("the server sent no bundle: is it a Lading server?") from error
    return files


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, content in files.items():
        path = folder / name
        for parent in reversed(path.relative_to(folder).parents):
            os.makedirs(folder / parent, mode=0o700, exist_ok=True)  # noqa: PTH103 — its mode is for each of them
        write_durably(path, content)
