"""The command `lading`, as people type it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from lading.cli import main
from support.servers import PASSWORD, Server

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


class Person:
    """Somebody who is signed in at the command line, with a home of his own.

    His commands run in this process: to start one for each, and to import it all, takes longer than what it does.
    """

    def __init__(self, server: Server, name: str, home: Path, password: str = PASSWORD) -> None:
        self.home = str(home / name)
        words = ("login", server.host, "-u", name, "--password-stdin", "--ca", str(server.authority))
        self(*words, stdin=f"{password}\n")

    def __call__(self, *words: str, status: int = 0, stdin: str = "") -> str:
        ended, said, warned = self._run(words, stdin)
        assert ended == status, said + warned
        return said + warned

    def json(self, *words: str) -> Any:
        ended, said, warned = self._run((*words, "--json"))
        assert ended == 0, said + warned
        return json.loads(said)

    def refused(self, *words: str, status: int = 1) -> str:
        """The one line with which the command refuses."""
        ended, said, warned = self._run(words)
        assert (ended, said) == (status, ""), said + warned
        assert warned.startswith("lading: ")
        assert warned.count("\n") == 1, warned
        return warned

    def _run(self, words: tuple[str, ...], stdin: str = "") -> tuple[int, str, str]:
        said, warned = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, XDG_CONFIG_HOME=self.home),
            mock.patch.object(sys, "argv", ["lading", *words]),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(warned),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.getvalue(), warned.getvalue()
