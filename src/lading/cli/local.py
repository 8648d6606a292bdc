"""Commands that work on a local data folder: the use cases opened directly, beside a running server or without one."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from lading.app.boot import Boot
from lading.app.parts import Parts, open_parts
from lading.cluster.first_start import replica_id
from lading.core.errors import SettingsError
from lading.core.folders import DataFolder
from lading.registry.garbage import Progress as Told
from lading.settings import Settings

Data = Annotated[Path | None, typer.Option("--data", help="The data folder; ./data when not given.")]
Config = Annotated[Path | None, typer.Option("--config", help="The settings file, lading.toml.")]

_Result = TypeVar("_Result")


def load_settings(config: Path | None, data: Path | None, server: dict[str, Any] | None = None) -> Settings:
    """The settings, with what the command line gave. Errors: SettingsError."""
    overrides: dict[str, Any] = {"data": None if data is None else str(data), "server": server or {}}
    return Settings.load(file=settings_file(config), overrides=overrides)


def settings_file(config: Path | None) -> Path | None:
    """The settings file that the command line, or else the environment, names."""
    return config or (Path(os.environ["LADING_CONFIG"]) if os.environ.get("LADING_CONFIG") else None)


def run_local(data: Path | None, config: Path | None, work: Callable[[Parts], Awaitable[_Result]]) -> _Result:
    """What `work` gives, over the use cases of the data folder. Errors: SettingsError when there is no installation."""
    settings = load_settings(config, data)
    folder = DataFolder(settings.data)
    if not folder.root.is_dir() or not (settings.database.url or folder.database.exists()):
        raise SettingsError(
            f"there is no installation in {folder.root}: name its folder with --data, or run `lading serve`"
        )

    async def opened() -> _Result:
        port = settings.server.port
        url = str(settings.server.external_url or f"https://localhost:{port}").rstrip("/")
        async with open_parts(Boot(settings, "none", url, port, replica_id(folder))) as parts:
            return await work(parts)

    try:
        return asyncio.run(opened())
    except PermissionError as error:
        raise SettingsError(f"can't use {error.filename}: {error.strerror}; run this as the server's user") from error


async def with_progress(title: str, work: Callable[[Told], Awaitable[_Result]]) -> _Result:
    """What `work` gives, its progress shown as a bar on standard error."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    shown = Console(stderr=True)
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task(title, total=None)

        async def told(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total or None, description=f"{title}: {what}")

        return await work(told)
