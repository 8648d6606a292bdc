"""What commands print with."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Columns = Mapping[str, Callable[[Any], str]]
"""A table's columns: the heading of each, and what it shows of an entry."""

console = Console(highlight=False, soft_wrap=True, emoji=False)


_WIDEST = 10_000


def print_table(table: Table) -> None:
    """Prints the table with nothing of it cut off, however narrow the terminal, or the pipe, is."""
    width = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    Console(highlight=False, soft_wrap=True, emoji=False, width=max(width, console.width)).print(table)


def shown(text: str) -> Text:
    """What people call things, shown as it is and never obeyed: neither by Rich nor by the terminal."""
    return Text("".join(c if c.isprintable() else "?" for c in text))


def print_list(entries: Iterable[Any], columns: Columns, *, as_json: bool) -> None:
    """Prints the entries as a table, or all that is known of them as JSON."""
    if as_json:
        typer.echo(json.dumps(list(entries)))
        return
    table = Table(*columns, box=box.SIMPLE)
    for entry in entries:
        table.add_row(*(shown(show(entry)) for show in columns.values()))
    print_table(table)


def print_facts(document: Any, facts: Mapping[str, str], *, as_json: bool) -> None:
    """Prints the facts about one thing, each with its name; or the whole document as JSON."""
    if as_json:
        typer.echo(json.dumps(document))
        return
    table = Table(show_header=False, box=None)
    for name, fact in facts.items():
        table.add_row(name, shown(fact))
    print_table(table)


def tell(document: Any, sentence: str, *, then: str = "", as_json: bool) -> None:
    """Says what was done, and the command that is useful next; or prints the document as JSON."""
    if as_json:
        typer.echo(json.dumps(document))
        return
    console.print(shown(sentence))
    if then:
        console.print(shown(f"next: {then}"))


def minute_of(moment: str) -> str:
    """A moment of the API, in UTC, for people; `never` for Go's zero time."""
    return "never" if moment.startswith("0001-") else moment[:16].replace("T", " ")


def in_bytes(size: int) -> str:
    """A size for people: `1.5 GiB`."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":  # noqa: PLR2004 — the next unit
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes all")
