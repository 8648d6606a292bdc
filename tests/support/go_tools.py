"""Programs written in Go, installed by their module's name and version into `.tools`, beside the checkout."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / ".tools"
_INSTALL_SECONDS = 280  # a first build of the largest takes about a minute


def go_tool(module: str) -> Path:
    """The program of `module` (path@version), installed the first time; skips where that is not possible.

    Shape: it lies in a folder of its version, so another version in the code is another program.
    """
    package, _, version = module.partition("@")
    name = package.rpartition("/")[2]
    folder = TOOLS / f"{name}@{version}"
    if (folder / name).exists():
        return folder / name
    if shutil.which("go") is None:
        pytest.skip(f"Go is not installed, so {name} can't be: apt-get install golang-go")
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(folder)}
    try:
        made = subprocess.run(
            ["go", "install", module],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"`go install {module}` takes too long here: run it by hand with GOBIN={folder}")
    if made.returncode:
        pytest.skip(f"`go install {module}` failed (is the module proxy reachable?): {made.stderr.strip()[-200:]}")
    return folder / name
