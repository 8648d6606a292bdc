"""Real client programs, each with a home of its own: no setting, login or image of this machine is read or changed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.servers import Server

_LONGEST_SECONDS = 120  # only a client that hangs takes so long
_ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def program(name: str, package: str) -> str:
    """Where the program is; skips when it is not installed."""
    found = shutil.which(name, path=_path())
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


def root_or_skip(what: str) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"{what} needs root: sudo make test")


@dataclass(frozen=True)
class Client:
    """A program with the words it always begins with, run to its end for each call."""

    command: tuple[str, ...]
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *words: str | Path, stdin: str = "") -> str:
        """What it printed on standard output. It must succeed."""
        ran = self._run(words, stdin)
        assert ran.returncode == 0, f"{self._shown(words)} ended with {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def everything(self, *words: str | Path) -> str:
        """What it printed on both streams. It must succeed."""
        ran = self._run(words, "")
        assert ran.returncode == 0, f"{self._shown(words)} ended with {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout + ran.stderr

    def refused(self, *words: str | Path, stdin: str = "") -> str:
        """All that it printed. It must fail."""
        ran = self._run(words, stdin)
        assert ran.returncode != 0, f"{self._shown(words)} should have failed\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout + ran.stderr

    def _run(self, words: tuple[str | Path, ...], stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            env={**environment(self.home), **self.variables},
            timeout=_LONGEST_SECONDS,
        )

    def _shown(self, words: tuple[str | Path, ...]) -> str:
        return " ".join(str(word) for word in (Path(self.command[-1]).name, *words))


def environment(home: Path) -> dict[str, str]:
    """The variables of a client whose state is all below `home`; nothing else is handed on."""
    return {
        "PATH": _path(),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local"),
        "XDG_RUNTIME_DIR": str(home),
        "DOCKER_CONFIG": str(home / ".docker"),
        "REGISTRY_AUTH_FILE": str(home / "auth.json"),
    }


def trust(server: Server, home: Path) -> None:
    """Podman, skopeo and their like, at home in `home`, trust the server: by `lading trust-host`, below that folder."""
    lading = Client((str(Path(sys.executable).with_name("lading")),), home)
    lading("trust-host", server.host, "--yes", "--root", home)
    # What root's programs read from /etc they also read from their home. Source: containers-certs.d(5).
    certificates = home / ".config/containers/certs.d"
    if not certificates.exists():
        shutil.copytree(home / "etc/containers/certs.d", certificates)
    (certificates.parent / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')


def add_user(server: Server, name: str, password: str) -> None:
    """An ordinary account, whose namespace is his name. May be repeated."""
    with server.client() as admin:
        answer = admin.post("/enzi/v0/accounts", json={"name": name, "password": password})
        assert answer.status_code in {201, 400, 409}, answer.text


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:{_ADMIN_PATH}"
