"""The OCI distribution conformance suite, every optional switch on, through nginx and without it: no failure, no skip."""

import os
import re
import subprocess
from pathlib import Path

from support.go_tools import go_tool
from support.servers import Server

MODULE = "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111"
FEWEST_TESTS = 900


def test_the_conformance_suite_has_no_failure_and_no_skip(server: Server, tmp_path: Path) -> None:
    suite = go_tool(MODULE)
    environment = {
        **os.environ,
        "SSL_CERT_FILE": str(server.authority),
        "OCI_REGISTRY": server.host,
        "OCI_TLS": "enabled",
        "OCI_REPO1": "admin/conformance1",
        "OCI_REPO2": "admin/conformance2",
        "OCI_USERNAME": "admin",
        "OCI_PASSWORD": server.password,
        "OCI_VERSION": "dev",
        "OCI_DATA_SPARSE": "true",
        "OCI_RESULTS_DIR": str(tmp_path),
    }
    ran = subprocess.run([suite], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    verdicts = re.findall(r"^\s*OCI Conformance Test\S*.*: (\S+)$", ran.stdout, re.MULTILINE)
    others = [
        line for line in ran.stdout.splitlines() if re.search(r": (?!Pass$)(FAIL|Skip|Error|Disabled|Unknown)", line)
    ]
    assert others == []
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert set(verdicts) == {"Pass"}
    assert len(verdicts) >= FEWEST_TESTS
