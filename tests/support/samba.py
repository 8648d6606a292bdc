"""An Active Directory domain of the tests' own: Samba's domain controller, its data in a temporary folder, on loopback.

It listens where Active Directory does (389, 636, 3268 of 127.0.0.1); so only one runs at a time, on a machine where these are
free, and as root. Provisioning takes some seconds.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from lading.edge.lifeline import die_with_parent

BASE = "DC=lab,DC=test"
USERS = f"CN=Users,{BASE}"
ADMINISTRATOR, ADMIN_PASSWORD = f"CN=Administrator,{USERS}", "Adm1n secret of the lab"
PASSWORD = "Us3rs secret of the lab"
_PORTS = (389, 636, 3268)
_PROGRAMS = ("/usr/sbin/samba", "/usr/bin/samba-tool")

_FILL = """
import json, sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
wanted = json.load(sys.stdin)
loaded = LoadParm()
loaded.load(wanted["configuration"])
database = SamDB(session_info=system_session(), lp=loaded)
database.transaction_start()
for user in wanted["users"]:
    database.newuser(user["name"], wanted["password"], givenname=user["given_name"], surname="Lab", userou=None)
    if user["disabled"]:
        database.disable_account("(sAMAccountName=%s)" % user["name"])
    if user["expired"]:
        database.setexpiry("(sAMAccountName=%s)" % user["name"], -86400)
for group in wanted["groups"]:
    database.newgroup(group["name"])
    database.add_remove_group_members(group["name"], group["members"], add_members_operation=True)
database.transaction_commit()
"""


@dataclass(frozen=True, slots=True)
class AdUser:
    """A user to make. He signs in as `name` and as `name@lab.test`."""

    name: str
    given_name: str = "Given"
    disabled: bool = False
    expired: bool = False


@dataclass(frozen=True, slots=True)
class AdGroup:
    """A group to make; members are names of users and of groups that come before it."""

    name: str
    members: Sequence[str]


def why_not() -> str:
    """Why no domain can run here; empty when one can."""
    if any(not Path(program).exists() for program in _PROGRAMS):
        return "Samba is missing: apt-get install samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules"
    if os.geteuid() != 0:
        return "Samba's domain controller listens on ports below 1024: run the tests as root"
    return ""


class ActiveDirectory:
    """A running domain. It dies with the tests."""

    def __init__(self, users: Sequence[AdUser], groups: Sequence[AdGroup]) -> None:
        self._turn = Path("/tmp/lading-active-directory.lock").open("w")  # noqa: S108, SIM115 — one name for all, held while it runs
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        taken = [port for port in _PORTS if _is_open(port)]
        if taken:
            self._turn.close()
            pytest.skip(f"the ports {taken} of 127.0.0.1 are taken, and Active Directory has no others: free them")
        self.folder = Path(tempfile.mkdtemp(prefix="lading-ad-", dir="/tmp"))
        self.configuration = self.folder / "etc" / "smb.conf"
        self._run(
            "/usr/bin/samba-tool", "domain", "provision", f"--targetdir={self.folder}", "--realm=LAB.TEST", "--domain=LAB",
            "--server-role=dc", "--dns-backend=NONE", f"--adminpass={ADMIN_PASSWORD}", "--option=interfaces=lo",
            "--option=bind interfaces only=yes",
        )  # fmt: skip
        document = {
            "configuration": str(self.configuration),
            "password": PASSWORD,
            "users": [asdict(user) for user in users],
            "groups": [{"name": group.name, "members": list(group.members)} for group in groups],
        }
        self._run("/usr/bin/python3", "-c", _FILL, text=json.dumps(document))
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/samba", "-i", "-M", "single", "-s", str(self.configuration),
                 "--option=server services=ldap,kdc,rpc,wrepl"],
                stdin=subprocess.PIPE,  # it ends when this is closed
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 — no other thread runs when it is called
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not all(_is_open(port) for port in _PORTS):
            assert self._process.poll() is None, (self.folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, "Samba did not start"
            time.sleep(0.1)

    def _run(self, *command: str, text: str = "") -> None:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=180)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]

    @property
    def url(self) -> str:
        return "ldaps://localhost:636"

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)  # its own session: nothing but it and its children
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._turn.close()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
