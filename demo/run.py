"""A throw-away registry, a real image, a real client, and what happened, told: `make demo`.

Each part of the product has a chapter here, in the order a newcomer would meet them.
"""

import gzip
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import openldap
from support.servers import Server

console = Console(highlight=False, soft_wrap=True, emoji=False)
IMAGE = "admin/demo:1"


@dataclass
class Stage:
    """What the chapters share."""

    folder: Path
    server: Server
    layout: Path

    @property
    def certificates(self) -> Path:
        """The folder in which skopeo looks for the authority."""
        folder = self.folder / "certs"
        folder.mkdir(exist_ok=True)
        shutil.copy(self.server.authority, folder / "ca.crt")
        return folder

    @property
    def login(self) -> Path:
        return self.folder / "auth.json"


def say(text: str) -> None:
    console.print(text)


def run(*command: str, secret: str = "", refused: bool = False, **variables: str) -> str:
    """Runs a client, showing what a person would have typed; its output. Ends the demo when it fails, or is not `refused`."""
    shown = [("…" if word == secret else word).replace(str(Path.home()), "~") for word in command]
    console.print("  [dim]$[/dim] " + " ".join(shown), style="cyan")
    began = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})
    if bool(ran.returncode) is not refused:
        console.print(ran.stderr.strip()[-800:], style="red")
        sys.exit(f"the demo can't go on: {command[0]} ended with {ran.returncode}")
    console.print(f"    [dim]{time.perf_counter() - began:.1f} s{', refused' if refused else ''}[/dim]")
    return ran.stderr if refused else ran.stdout


# --- an image --------------------------------------------------------------------------------------------------------


def make_image(folder: Path) -> Path:
    """An OCI layout of a Debian root, or of some files of this machine, in two layers."""
    base, top = folder / "base.tar", folder / "top.tar"
    if not debian_root(base):
        say("  no mmdebstrap or no package mirror here: taking some files of this machine instead")
        with tarfile.open(base, "w") as archive:
            for path in ("/etc/os-release", "/usr/bin/env", "/usr/share/common-licenses"):
                if Path(path).exists():
                    archive.add(path)
    hello = folder / "hello"
    hello.write_text("#!/bin/sh\necho Hello from Lading\n")
    hello.chmod(0o755)
    with tarfile.open(top, "w") as archive:
        archive.add(hello, "usr/local/bin/hello")
    layout = folder / "image"
    write_layout(layout, [base, top])
    return layout


def debian_root(target: Path) -> bool:
    program = shutil.which("mmdebstrap")
    if program is None or os.geteuid() != 0:
        return False
    say("  making a small Debian root with mmdebstrap; this takes a minute")
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    command = [program, "--quiet", "--variant=essential", "--mode=root", suite, str(target)]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return made.returncode == 0 and target.exists()


def write_layout(layout: Path, layers: list[Path]) -> None:
    """An OCI image layout. Source: OCI image spec, image-layout.md."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    packed = [gzip.compress(layer.read_bytes(), 6, mtime=0) for layer in layers]
    described = [put(layer, "application/vnd.oci.image.layer.v1.tar+gzip") for layer in packed]
    plain = ["sha256:" + hashlib.sha256(layer.read_bytes()).hexdigest() for layer in layers]
    history = [{"created_by": f"layer {number}"} for number in range(1, len(layers) + 1)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/usr/local/bin/hello"]},
        "rootfs": {"type": "layers", "diff_ids": plain},
        "history": history,
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": described,
    }
    entry = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


# --- chapters --------------------------------------------------------------------------------------------------------


def chapter_push_and_pull(stage: Stage) -> None:
    """Sign in, push, pull, and see that what came back is what went in."""
    server, image = stage.server, f"docker://{stage.server.host}/{IMAGE}"
    files = ("--authfile", str(stage.login), "--cert-dir", str(stage.certificates))
    run("skopeo", "login", *files, "-u", "admin", "-p", server.password, server.host, secret=server.password)
    destination = ("--authfile", str(stage.login), "--dest-cert-dir", str(stage.certificates))
    run("skopeo", "copy", *destination, f"oci:{stage.layout}:1", image)
    back = stage.folder / "back"
    source = ("--authfile", str(stage.login), "--src-cert-dir", str(stage.certificates))
    run("skopeo", "copy", *source, image, f"oci:{back}:1")
    sent = {path.name for path in (stage.layout / "blobs" / "sha256").iterdir()}
    got = {path.name for path in (back / "blobs" / "sha256").iterdir()}
    if sent != got:
        sys.exit(f"what came back is not what went in: {sorted(sent ^ got)}")
    say(f"  All {len(sent)} blobs came back byte for byte: each is named by its digest, so names that match say so.")
    run("skopeo", "copy", *destination, f"oci:{stage.layout}:1", image)
    say("  The second push sent nothing: the registry knew every layer already.")


def chapter_who_may(stage: Stage) -> None:
    """A stranger gets nothing, and is told the same whether the repository exists or not."""
    with stage.server.client(name=None) as stranger:
        known = stranger.get(f"/v2/{IMAGE.replace(':', '/manifests/')}")
        unknown = stranger.get("/v2/admin/nothing/manifests/1")
    table = Table("a stranger asks for", "gets", box=None)
    table.add_row("an image that exists", f"{known.status_code} {known.json()['errors'][0]['code']}")
    table.add_row("one that does not", f"{unknown.status_code} {unknown.json()['errors'][0]['code']}")
    console.print(table)


def chapter_organization(stage: Stage) -> None:
    """An organization, two teams that an LDAP server fills, a push that one may and the other not, a pull without a login."""
    if not Path("/usr/sbin/slapd").exists():
        say("  left out: there is no LDAP server here (apt-get install slapd)")
        return
    people = (openldap.person("ada"), openldap.person("grace"))
    teams = [openldap.group(name, [openldap.dn(who)]) for name, who in (("builders", "ada"), ("readers", "grace"))]
    directory = openldap.OpenLdap([*people, *teams])
    try:
        tell_of_directory(stage, directory)
        tell_of_teams(stage)
        tell_of_bundle(stage)
    finally:
        directory.close()


def ask(stage: Stage, method: str, path: str, form: object = None, name: str = "admin", secret: str = "") -> Any:
    """What the REST API answers; shown in one line."""
    console.print(f"  [dim]{name}:[/dim] {method} {path}", style="cyan")
    with stage.server.client(name=name, secret=secret or stage.server.password) as client:
        answer = client.request(method, path, json=form)
    if answer.status_code >= HTTPStatus.BAD_REQUEST:
        sys.exit(f"the demo can't go on: {answer.text}")
    return answer


def tell_of_directory(stage: Stage, directory: openldap.OpenLdap) -> None:
    search = {"baseDN": openldap.PEOPLE, "usernameAttr": "uid", "fullNameAttr": "cn"}
    reader = {"readerDN": openldap.READER, "readerPassword": openldap.READER_PASSWORD}
    settings = {"serverURL": directory.url, **reader, "userSearchConfigs": [search], "jitUserProvisioning": False}
    ask(stage, "PUT", "/enzi/v0/config/auth/ldap", settings)
    ask(stage, "PUT", "/enzi/v0/config/auth", {"backend": "ldap"})
    ask(stage, "POST", "/enzi/v0/accounts", {"name": "acme", "isOrg": True})
    for team, level in (("builders", "read-write"), ("readers", "read-only")):
        ask(stage, "POST", "/enzi/v0/accounts/acme/teams", {"name": team})
        group = {"enableSync": True, "groupDN": f"cn={team},{openldap.GROUPS}", "groupMemberAttr": "member"}
        ask(stage, "PUT", f"/enzi/v0/accounts/acme/teams/{team}/memberSyncConfig", group)
        ask(stage, "PUT", f"/api/v0/repositoryNamespaces/acme/teamAccess/{team}", {"accessLevel": level})
    ask(stage, "POST", "/api/v0/repositories/acme", {"name": "app"})
    job = ask(stage, "POST", "/enzi/v0/jobs", {"action": "ldap-sync"}).json()
    for _ in range(200):
        if ask_quietly(stage, f"/api/v0/jobs/{job['id']}")["status"] in {"done", "errored"}:
            break
        time.sleep(0.2)
    for line in ask_quietly(stage, f"/api/v0/jobs/{job['id']}/logs?limit=100"):
        say(f"    [dim]{line['data']}[/dim]")


def ask_quietly(stage: Stage, path: str) -> Any:
    with stage.server.client() as client:
        return client.get(path).json()


def tell_of_teams(stage: Stage) -> None:
    image, certificates = f"docker://{stage.server.host}/acme/app:1", str(stage.certificates)
    for name, may in (("ada", True), ("grace", False)):
        login = stage.folder / f"{name}.json"
        files = ("--authfile", str(login), "--cert-dir", certificates)
        run("skopeo", "login", *files, "-u", name, "-p", openldap.PASSWORD, stage.server.host, secret=openldap.PASSWORD)
        to = ("--authfile", str(login), "--dest-cert-dir", certificates)
        told = run("skopeo", "copy", *to, f"oci:{stage.layout}:1", image, refused=not may)
        say(
            f"  {name} pushes: she is in the builders."
            if may
            else f"  {name} does not: she only reads. {last_line(told)}"
        )


def last_line(text: str) -> str:
    return f"[dim]{text.strip().splitlines()[-1][-200:]}[/dim]"


def tell_of_bundle(stage: Stage) -> None:
    if shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        say("  A pull by a client certificate is left out: it needs nginx.")
        return
    bundle, certificates = stage.folder / "bundle", stage.folder / "graces"
    answer = ask(stage, "GET", "/api/clientbundle", name="grace", secret=openldap.PASSWORD)
    (stage.folder / "bundle.zip").write_bytes(answer.content)
    shutil.unpack_archive(stage.folder / "bundle.zip", bundle)
    certificates.mkdir()
    for source, target in (("cert.pem", "client.cert"), ("key.pem", "client.key")):
        shutil.copy(bundle / source, certificates / target)
    shutil.copy(stage.server.authority, certificates / "ca.crt")
    image = f"docker://{stage.server.host}/acme/app:1"
    nobody = stage.folder / "nobody.json"
    nobody.write_text("{}")
    from_there = ("--authfile", str(nobody), "--src-cert-dir", str(certificates))
    run("skopeo", "copy", *from_there, image, f"oci:{stage.folder / 'pulled'}:1")
    say("  grace pulled by the certificate of her client bundle, without any login.")


def chapter_space(stage: Stage) -> None:
    """What is kept, and that it is whole."""
    lading = str(Path(sys.executable).with_name("lading"))
    console.print(run(lading, "verify", "--data", str(stage.server.data)).rstrip())
    console.print(run(lading, "gc", "--dry-run", "--data", str(stage.server.data)).rstrip())


CHAPTERS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("Push and pull", chapter_push_and_pull),
    ("Who may", chapter_who_may),
    ("An organization", chapter_organization),
    ("What is kept", chapter_space),
)


def main() -> None:
    if shutil.which("skopeo") is None:
        sys.exit("the demo's client is skopeo: apt-get install skopeo")
    edge = "nginx" if shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") else "none"
    with tempfile.TemporaryDirectory(prefix="lading-demo-") as name:
        folder = Path(name)
        server = Server(folder / "data", edge, {"LADING_REGISTRY__CREATE_REPOSITORY_ON_PUSH": "true"})
        console.print(Panel.fit("A registry that lives for a minute", title="Lading"))
        try:
            server.start()
            say(f"It serves {server.url} ({'through nginx' if edge == 'nginx' else 'without nginx'}).\n")
            say("[bold]An image[/bold]")
            stage = Stage(folder, server, make_image(folder))
            for number, (title, chapter) in enumerate(CHAPTERS, 1):
                say(f"\n[bold]{number}. {title}[/bold]  [dim]{(chapter.__doc__ or '').strip()}[/dim]")
                chapter(stage)
        finally:
            server.cleanup()
    say("\nThat was all of it; nothing is left. Now yours: [bold]make serve[/bold]")


main()
