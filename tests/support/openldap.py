"""An OpenLDAP of the tests' own: Debian's slapd, its configuration and data in a temporary folder, on free loopback ports."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ldap3 import MODIFY_REPLACE, Connection, Server

from lading.edge.lifeline import die_with_parent
from lading.keys.authority import Authority

SUFFIX = "dc=lab,dc=test"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{SUFFIX}", "admins secret"
READER, READER_PASSWORD = f"cn=reader,{SUFFIX}", "readers secret"
PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
PASSWORD = "users secret"
SIZE_LIMIT = 200
_SLAPD = "/usr/sbin/slapd"

needs_openldap = pytest.mark.skipif(
    not Path(_SLAPD).exists(), reason="OpenLDAP's slapd is missing: apt-get install slapd"
)

_CONFIGURATION = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: {folder}/slapd.pid
olcTLSCertificateFile: {folder}/certificate.pem
olcTLSCertificateKeyFile: {folder}/key.pem
olcTLSVerifyClient: never
olcIdleTimeout: 60

dn: cn=module{{0}},cn=config
objectClass: olcModuleList
cn: module{{0}}
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif
include: file:///etc/ldap/schema/cosine.ldif
include: file:///etc/ldap/schema/inetorgperson.ldif

dn: olcDatabase={{-1}}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {{-1}}frontend

dn: olcDatabase={{1}}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {{1}}mdb
olcSuffix: {suffix}
olcDbDirectory: {folder}/data
olcDbMaxSize: 2147483648
olcDbNoSync: TRUE
olcRootDN: {admin}
olcRootPW: {password}
olcDbIndex: objectClass eq
olcDbIndex: uid eq
olcLimits: {{0}}dn.exact="{reader}" size.soft={limit} size.hard={limit} size.prtotal=unlimited
olcAccess: {{0}}to attrs=userPassword by anonymous auth by * none
olcAccess: {{1}}to * by users read by * none
"""


def person(name: str, number: int = 0, **more: str) -> str:
    """The LDIF of a user."""
    lines = {"cn": f"Full Name {number}", "sn": name, "userPassword": PASSWORD, **more}
    told = "".join(f"{key}: {value}\n" for key, value in lines.items())
    return f"dn: uid={name},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {name}\n{told}\n"


def group(name: str, members: Iterable[str]) -> str:
    """The LDIF of a group; members are DNs."""
    told = "".join(f"member: {member}\n" for member in members)
    return f"dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\ncn: {name}\n{told}\n"


def dn(name: str) -> str:
    return f"uid={name},{PEOPLE}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OpenLdap:
    """A running server. It dies with the tests."""

    def __init__(self, ldif: Iterable[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lading-ldap-", dir="/tmp"))
        self.port, self.tls_port = _free_port(), _free_port()
        now = datetime.now(UTC)
        authority = Authority.create("directory", now)
        pair = authority.issue(["localhost"], now, timedelta(days=2))
        self.root_certificates = authority.pair.certificate
        (self.folder / "certificate.pem").write_text(pair.certificate)
        (self.folder / "key.pem").write_text(pair.key)
        for name in ("data", "configuration"):
            (self.folder / name).mkdir()
        self._load(
            "0",
            _CONFIGURATION.format(
                folder=self.folder, suffix=SUFFIX, admin=ADMIN, password=ADMIN_PASSWORD, reader=READER, limit=SIZE_LIMIT
            ),
        )
        base = (
            f"dn: {SUFFIX}\nobjectClass: domain\ndc: lab\n\n"
            f"dn: {READER}\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: {READER_PASSWORD}\n\n"
            f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n"
            f"dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups\n\n"
        )
        self._load("1", base + "".join(ldif))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"ldap://localhost:{self.port}"

    @property
    def ldaps_url(self) -> str:
        return f"ldaps://localhost:{self.tls_port}"

    def _load(self, database: str, ldif: str) -> None:
        file = self.folder / f"load{database}.ldif"
        file.write_text(ldif)
        command = ["/usr/sbin/slapadd", "-q", "-n", database, "-F", str(self.folder / "configuration"), "-l", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        file.unlink()

    def start(self) -> None:
        """It answers."""
        socket_path = str(self.folder / "ldapi").replace("/", "%2F")
        where = f"ldap://127.0.0.1:{self.port}/ ldaps://127.0.0.1:{self.tls_port}/ ldapi://{socket_path}/"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_SLAPD, "-F", str(self.folder / "configuration"), "-h", where, "-d", "0"],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 — no other thread runs when it is called
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        raise AssertionError("slapd did not start")

    def stop(self) -> None:
        """It does not answer any more; its data stay."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGTERM)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def editing(self) -> Iterator[Connection]:
        """A connection that may change everything."""
        connection = Connection(
            Server("127.0.0.1", port=self.port),
            user=ADMIN,
            password=ADMIN_PASSWORD,
            auto_bind=True,
            raise_exceptions=True,
        )
        try:
            yield connection
        finally:
            connection.unbind()

    def delete(self, entry: str) -> None:
        with self.editing() as connection:
            connection.delete(entry)  # type: ignore[no-untyped-call]

    def replace(self, entry: str, attribute: str, values: list[str]) -> None:
        with self.editing() as connection:
            connection.modify(entry, {attribute: [(MODIFY_REPLACE, values)]})  # type: ignore[no-untyped-call]

    def add(self, entry: str, kind: str, **attributes: Any) -> None:
        with self.editing() as connection:
            connection.add(entry, kind, attributes)  # type: ignore[no-untyped-call]
