"""Real OpenID providers: the certified `oidc-provider` of Node, installed by its lock file into `.tools`, beside the checkout.

`first` tells its claims by userinfo, `second` in the ID token. They die with the tests.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin

import httpx
import pytest

from support.apps import SERVICE
from support.certificates import Issuer, root
from support.go_tools import TOOLS

_SCRIPT = Path(__file__).parent / "openid_provider"
_HOSTS = {"first": "localhost", "second": "127.0.0.1"}  # two, since cookies do not tell ports apart
_INSTALL_SECONDS = 120
_STEPS = 12


@dataclass
class OpenIdProviders:
    """The running providers. `people` is who they know, by subject; put claims there."""

    authority: Issuer
    issuers: dict[str, str]
    people: Path
    process: subprocess.Popen[str]

    def settings(self, name: str, **more: Any) -> dict[str, Any]:
        """What an administrator puts to have users sign in by that one."""
        return {
            "issuer": self.issuers[name],
            "clientID": "lading",
            "clientSecret": f"secret of {name}",
            "scopes": ["openid", "profile"],
            "rootCerts": self.authority.pem,
            "allowPrivateAddresses": True,
            **more,
        }

    def put(self, subject: str, **claims: Any) -> None:
        """They know him by these claims from now on."""
        known = json.loads(self.people.read_text())
        self.people.write_text(json.dumps({**known, subject: claims}))

    def rotate(self, name: str) -> None:
        """That one has other keys now, and knows nothing of what it began."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"rotate {name}\n")
        stdin.flush()
        assert stdout.readline() == "done\n"


def start_providers(folder: Path, redirect_uris: dict[str, str]) -> OpenIdProviders:
    """The providers, ready; end them by closing the process's standard input."""
    modules = _install()
    authority, people = root("OpenID test authority"), folder / "people.json"
    pair = authority.issue_server("localhost", "127.0.0.1")
    certificate, key = folder / "provider.pem", folder / "provider.key"
    certificate.write_text(pair.certificate)
    key.write_text(pair.key)
    people.write_text("{}")
    asked = {
        "cert": str(certificate),
        "key": str(key),
        "redirectUris": redirect_uris,
        "hosts": _HOSTS,
        "people": str(people),
    }
    with (folder / "provider.log").open("w") as log:
        process = subprocess.Popen(
            ["node", str(modules / "provider.mjs"), json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the OpenID providers did not start:\n{(folder / 'provider.log').read_text()[-4000:]}")
    return OpenIdProviders(authority, json.loads(line)["issuers"], people, process)


@pytest.fixture(scope="session")
def openid_providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProviders]:
    """The session's providers, for the app as `support.apps` composes it."""
    uris = {name: f"https://{SERVICE}/oidc/{name}/callback" for name in _HOSTS}
    started = start_providers(tmp_path_factory.mktemp("openid"), uris)
    yield started
    assert started.process.stdin is not None
    assert started.process.stdout is not None
    started.process.stdin.close()
    started.process.wait(10)
    started.process.stdout.close()


def _install() -> Path:
    """The folder with the script and all it needs, installed the first time; skips where that is not possible."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install nodejs npm")
    lock = (_SCRIPT / "package-lock.json").read_bytes()
    version = json.loads(lock)["packages"]["node_modules/oidc-provider"]["version"]
    folder = TOOLS / f"oidc-provider@{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        installed = folder / "installed.json"
        if not installed.exists() or installed.read_bytes() != lock:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(_SCRIPT / name, folder / name)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
            try:
                made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS)
            except subprocess.TimeoutExpired:
                pytest.skip(f"`{' '.join(command)}` takes too long here: run it by hand")
            if made.returncode:
                pytest.skip(f"`{' '.join(command)}` failed (is the npm registry reachable?): {made.stderr[-200:]}")
            installed.write_bytes(lock)
        # Beside its modules, where Node looks for them; in one step, since others may start it now.
        fresh = folder / f"provider.{os.getpid()}"
        shutil.copy(_SCRIPT / "provider.mjs", fresh)
        fresh.rename(folder / "provider.mjs")
    return folder


async def sign_in_there(browser: httpx.AsyncClient, at: str, subject: str) -> httpx.Response:
    """What our own server answers to the browser that the provider sends back: the last step is not taken.

    Shape: `at` is where our `/oidc/NAME/login` sent the browser; the pages ask for a name and for consent, where they ask.
    """
    url = at
    answer = await browser.get(url)
    for _ in range(_STEPS):
        if answer.is_redirect:
            url = urljoin(url, answer.headers["location"])
            if url.startswith(f"https://{SERVICE}/oidc/"):
                return answer
            answer = await browser.get(url)
            continue
        assert answer.status_code == 200, answer.text
        action = unescape(_found(r'<form[^>]* action="([^"]+)"', answer.text))
        form = {"prompt": _found(r'name="prompt" value="([^"]+)"', answer.text), "login": subject, "password": "any"}
        url = urljoin(url, action)
        answer = await browser.post(url, data=form)
    raise AssertionError("the provider asks on and on")


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return cast("str", match[1])
