"""The command `lading`, as people type it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LADING = str(Path(sys.executable).with_name("lading"))
_LONGEST_SECONDS = 120


def lading(*words: str | Path, status: int = 0, stdin: str = "", **variables: str) -> str:
    """What the command says, on both of its outputs, having ended with `status`."""
    done = _run(words, variables, stdin)
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def lading_json(*words: str | Path, status: int = 0, **variables: str) -> Any:
    """The document that the command prints."""
    done = _run([*words, "--json"], variables)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def refused(*words: str | Path, status: int = 2, **variables: str) -> str:
    """The one line with which the command refuses."""
    said = lading(*words, status=status, **variables)
    assert said.startswith("lading: "), said
    assert said.count("\n") == 1, said
    return said


def _run(words: Any, variables: dict[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LADING_")}
    return subprocess.run(
        [LADING, *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**clean, **variables},
        timeout=_LONGEST_SECONDS,
    )
