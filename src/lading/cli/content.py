"""`lading gc` and `lading verify`: what is kept, what goes, what is damaged."""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from lading.app.parts import Parts
from lading.cli.local import Config, Data, run_local, with_progress
from lading.cli.output import Json, console, in_bytes
from lading.core.clock import rfc3339
from lading.registry.garbage import Collected, Outlook
from lading.registry.verification import Verified


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would go, and why the rest stays.")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Without the grace time: be sure that nobody is pushing.")] = False,
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Collect what nobody needs, while the server runs."""
    grace = timedelta(0) if now else None

    async def work(parts: Parts) -> tuple[Collected | None, Outlook]:
        if dry_run:
            return None, await parts.garbage.outlook(grace=grace)
        collected = await with_progress("collecting", lambda told: parts.garbage.collect(told, grace=grace))
        return collected, await parts.garbage.outlook()

    collected, outlook = run_local(data, config, work)
    if as_json:
        until = outlook.protected_until
        document = {**asdict(outlook), "protected_until": None if until is None else rfc3339(until)}
        typer.echo(json.dumps({"collected": asdict(collected) if collected else None, "outlook": document}))
        return
    if collected is not None:
        console.print(
            f"freed [bold]{in_bytes(collected.blobs.size_bytes + collected.stray.size_bytes)}[/bold]: "
            f"{collected.blobs.count} blobs, {collected.stray.count} stray files; "
            f"{collected.manifests} manifests and {collected.uploads} uploads dropped"
        )
    _show(outlook)


def _show(outlook: Outlook) -> None:
    table = Table(box=box.SIMPLE)
    for name in ("what", "how many", "bytes", "when it goes"):
        table.add_column(name, overflow="fold")
    table.add_row("stored blobs", str(outlook.stored.count), in_bytes(outlook.stored.size_bytes), "")
    collectable = outlook.collectable
    table.add_row(
        "needed by nothing", str(collectable.count), in_bytes(collectable.size_bytes), "with the next `lading gc`"
    )
    until = f"from {outlook.protected_until:%Y-%m-%d %H:%M} UTC on" if outlook.protected_until else ""
    protected = outlook.protected
    table.add_row("… but in the grace time", str(protected.count), in_bytes(protected.size_bytes), until)
    when = "with the next run" if outlook.untagged_go else "never (garbage.untagged_manifests)"
    table.add_row(
        "held by untagged manifests", str(outlook.untagged.count), in_bytes(outlook.untagged.size_bytes), when
    )
    uploads = outlook.uploads
    table.add_row(
        "unfinished uploads", str(uploads.count), in_bytes(uploads.size_bytes), "after registry.upload_lifetime_hours"
    )
    console.print(table)


def verify(
    repair: Annotated[bool, typer.Option(help="Put what differs into quarantine.")] = True,
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Re-hash all content; report and put aside what differs. Exit status 1 when something does."""

    async def work(parts: Parts) -> Verified:
        return await with_progress("verifying", lambda told: parts.verification.run(told, repair=repair))

    result = run_local(data, config, work)
    if as_json:
        damaged = [{**asdict(item), "digest": str(item.digest)} for item in result.damaged]
        typer.echo(json.dumps({"blobs": result.blobs, "manifests": result.manifests, "damaged": damaged}))
    else:
        console.print(f"read {result.blobs} blobs ({in_bytes(result.size_bytes)}) and {result.manifests} manifests")
        for item in result.damaged:
            kind = "manifest" if item.is_manifest else "blob"
            console.print(
                f"[red]{item.damage.value}[/red] {kind} {item.digest} in {', '.join(item.repositories) or '—'}"
            )
        console.print("all content is whole" if not result.damaged else "push the images above again to mend them")
    if result.damaged:
        raise typer.Exit(1)
