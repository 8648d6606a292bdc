"""`lading backup` and `lading restore`."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress as Bar

from lading import __version__
from lading.cli.local import Config, Data, load_settings, settings_file
from lading.cli.output import console
from lading.cluster.backup import Progress, make_backup, restore_backup
from lading.core.clock import SystemClock
from lading.core.errors import SettingsError
from lading.core.folders import DataFolder
from lading.settings import Settings

_Result = TypeVar("_Result")
_SHOWN = 10


def backup(
    file: Annotated[Path, typer.Argument(help="The backup to make.")],
    content: Annotated[
        Path | None, typer.Option(help="Keep all blobs in this folder, as hard links where possible.")
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Back up database, keys, settings file and the list of all content, while the server runs (SQLite).

    Exit status 1 when content is missing.
    """
    folder = DataFolder(_on_sqlite(load_settings(config, data)).data)
    if not folder.database.exists():
        raise SettingsError(f"there is no installation in {folder.root}: name its folder with --data")
    if not file.absolute().parent.is_dir():
        raise SettingsError(f"there is no folder {file.absolute().parent}: make it first")
    now = SystemClock().now()
    elsewhere = os.environ.get("LADING_MASTER_KEY_FILE")
    try:
        made = _with_bar(
            "keeping content",
            lambda told: make_backup(
                folder,
                file,
                version=__version__,
                now=now,
                master_key=Path(elsewhere) if elsewhere else folder.master_key,
                settings=settings_file(config),
                content=content,
                progress=told,
            ),
        )
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"can't back up {folder.root} to {file}: {_reason(error)}") from error
    console.print(f"wrote [bold]{file}[/bold]: database, keys, and the list of {len(made.blobs)} blobs")
    console.print(
        "It opens every secret of this installation: encrypt it (gpg --symmetric) and keep it away from here."
    )
    if content is None:
        console.print(f"The blobs themselves are not in it: back up {folder.blobs} too, or use --content.")
    kept = folder.blobs if content is None else content
    missing = [place.path for place in made.blobs if not (kept / place.path).exists()]
    _show_missing(missing, f"the storage had lost them: run lading verify --data {folder.root}")


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    content: Annotated[Path | None, typer.Option(help="The folder of blobs that was made with it.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a data folder from a backup. Exit status 1 when content is missing."""
    folder = DataFolder(_on_sqlite(load_settings(config, data)).data)
    try:
        missing = _with_bar(
            "checking content", lambda told: restore_backup(file, folder, content=content, progress=told)
        )
    except OSError as error:
        raise SettingsError(f"can't restore {file} into {folder.root}: {_reason(error)}") from error
    console.print(f"restored into [bold]{folder.root}[/bold]; start it with: lading serve --data {folder.root}")
    if (folder.root / "lading.toml").exists():
        console.print(f"its settings file is {folder.root / 'lading.toml'}: look at it, and name it with --config")
    _show_missing(missing, f"put them into {folder.blobs}, then run: lading verify --data {folder.root}")


def _show_missing(paths: list[str], advice: str) -> None:
    """Errors: typer.Exit with status 1, when there are any."""
    for path in paths[:_SHOWN]:
        console.print(f"[red]missing[/red] blobs/{path}")
    if paths:
        console.print(f"{len(paths)} blobs are missing: {advice}")
        raise typer.Exit(1)


def _reason(error: OSError | sqlite3.Error) -> str:
    if isinstance(error, PermissionError) or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CANTOPEN:
        named = f"{error.filename}: " if isinstance(error, OSError) else ""
        return f"{named}permission denied; run this as the server's user"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    return str(error)


def _on_sqlite(settings: Settings) -> Settings:
    if settings.database.url and not settings.database.url.startswith("sqlite"):
        raise SettingsError(
            "this backs up SQLite: on PostgreSQL use pg_dump, and keep master.key and the content with it"
        )
    return settings


def _with_bar(title: str, work: Callable[[Progress], _Result]) -> _Result:
    """What `work` gives, its progress shown as a bar on standard error."""
    shown = Console(stderr=True)
    with Bar(console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))
