"""`lading backup` and `lading restore`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress as Bar

from lading import __version__
from lading.cli.local import Config, Data, load_settings
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
    """Back up database, keys and the list of all content, while the server runs (SQLite)."""
    folder = DataFolder(_on_sqlite(load_settings(config, data)).data)
    if not folder.database.exists():
        raise SettingsError(f"there is no installation in {folder.root}: name its folder with --data")
    now = SystemClock().now()
    made = _with_bar(
        "keeping content",
        lambda told: make_backup(folder, file, version=__version__, now=now, content=content, progress=told),
    )
    console.print(f"wrote [bold]{file}[/bold]: database, keys, and the names of {len(made.blobs)} blobs")
    console.print(
        "It opens every secret of this installation: encrypt it (gpg --symmetric) and keep it away from here."
    )
    if content is None:
        console.print("The blobs themselves are not in it: back up the folder blobs/ too, or use --content.")


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
        raise SettingsError(f"can't restore {file} into {folder.root}: {error.strerror or error}") from error
    console.print(f"restored into [bold]{folder.root}[/bold]; start it with: lading serve --data {folder.root}")
    for path in missing[:_SHOWN]:
        console.print(f"[red]missing[/red] blobs/{path}")
    if missing:
        console.print(
            f"{len(missing)} blobs are missing: put them into {folder.blobs}, then run: lading verify --data {folder.root}"
        )
        raise typer.Exit(1)


def _on_sqlite(settings: Settings) -> Settings:
    if settings.database.url and not settings.database.url.startswith("sqlite"):
        raise SettingsError(
            "this backs up SQLite: on PostgreSQL use pg_dump, and keep master.key and the content with it"
        )
    return settings


def _with_bar(title: str, work: Callable[[Progress], _Result]) -> _Result:
    """What `work` gives, its progress shown as a bar on standard error."""
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))
