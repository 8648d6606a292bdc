"""The API explorer in a browser that can reach this server only."""

import shutil
import subprocess
from pathlib import Path

import pytest

from support.servers import Server


def test_the_explorer_shows_the_api_without_the_internet(nginx_server: Server, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    shown = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors",
            f"--user-data-dir={tmp_path}", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
            "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", f"{nginx_server.url}/docs/api",
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert 'id="operations-tag-repositories"' in shown.stdout
    assert "Authorize" in shown.stdout
    assert "Content Security Policy" not in shown.stderr
    assert "CONSOLE" not in shown.stderr, shown.stderr
