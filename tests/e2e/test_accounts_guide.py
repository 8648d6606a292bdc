"""docs/accounts.md, typed as it is written, in its order, on a new registry."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Person
from support.servers import start_server

pytestmark = pytest.mark.slow
GUIDE = Path(__file__).parents[2] / "docs" / "accounts.md"
ELSEWHERE = {"login", "--install-completion"}  # done otherwise here, and not at all


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `lading …` in a console block; whoever reads fills in what is in capitals."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[0] == "lading" and words[1] not in ELSEWHERE and "ID" not in words:
                yield words[1:]


def test_the_guide_can_be_typed_as_it_is_written(tmp_path: Path) -> None:
    typed = list(commands(GUIDE.read_text()))
    assert len(typed) > 40
    with start_server("none") as server:
        admin = Person(server, "admin", tmp_path)
        for words in typed:
            if words[:2] in (["user", "create"], ["user", "set-password"]):
                admin(*words, "--password-stdin", stdin="a long password\n")
            else:
                admin(*words, stdin="y\n")  # to what asks
        assert {item["name"] for item in admin.json("account", "list")} == {"admin", "ada", "grace"}
