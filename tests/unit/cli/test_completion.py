"""Completing the first word is quick: it imports no command, and so not the server."""

import subprocess
import sys

SCRIPT = """
import sys, typer
from lading.cli import COMMANDS, app
group = typer.main.get_command(app)
names = {item.value for item in group.shell_complete(group.make_context("lading", [], resilient_parsing=True), "")}
assert names == {*COMMANDS, "version"}, names
loaded = {name for name in sys.modules if name.startswith("lading.")}
assert not {name for name in loaded if name.split(".")[1] not in {"cli", "core"}}, loaded
assert not {name for name in loaded if name.startswith("lading.cli.")}, loaded
"""


def test_the_first_word_is_completed_without_importing_any_command() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
