"""crane, oras and regctl, each at a pinned version, against the server through nginx."""

import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.clients import Client, environment
from support.go_tools import go_tool
from support.layouts import Layout, make_tar
from support.registries import OCI_INDEX, digest_of
from support.servers import Server

CRANE = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"
ORAS = "oras.land/oras/cmd/oras@v1.3.6"
REGCTL = "github.com/regclient/regclient/cmd/regctl@v0.11.7"


def client_of(module: str, server: Server, home: Path) -> Client:
    """The program, its state in `home`, trusting the server."""
    return Client((str(go_tool(module)),), home, {"SSL_CERT_FILE": str(server.authority)})


@pytest.fixture
def crane(nginx_server: Server, tmp_path: Path) -> Client:
    client = client_of(CRANE, nginx_server, tmp_path)
    client("auth", "login", nginx_server.host, "-u", "admin", "--password-stdin", stdin=nginx_server.password)
    return client


@pytest.fixture
def oras(nginx_server: Server, tmp_path: Path) -> Client:
    client = client_of(ORAS, nginx_server, tmp_path)
    client("login", address(nginx_server), "-u", "admin", "--password-stdin", stdin=nginx_server.password)
    return client


@pytest.fixture
def regctl(nginx_server: Server, tmp_path: Path) -> Client:
    client = client_of(REGCTL, nginx_server, tmp_path)
    client("registry", "login", nginx_server.host, "-u", "admin", "--pass-stdin", stdin=nginx_server.password)
    return client


# --- crane -----------------------------------------------------------------------------------------------------------


def test_crane_pushes_and_pulls_a_layout_byte_for_byte(nginx_server: Server, crane: Client) -> None:
    image = f"{nginx_server.host}/admin/crane:1"
    layout = Layout(crane.home / "made")
    digest = layout.add_image("1")["digest"]
    crane("push", layout.path, image)
    assert crane("digest", image).strip() == digest
    back = Layout(crane.home / "back")
    crane("pull", "--format=oci", image, back.path)
    assert back.blobs() == layout.blobs()
    assert "PASS" in crane("validate", "--remote", image)


def test_crane_pushes_an_index_of_two_platforms(nginx_server: Server, crane: Client) -> None:
    image = f"{nginx_server.host}/admin/crane-index:1"
    layout = Layout(crane.home / "made")
    children = [layout.add_image("1", architecture="amd64"), layout.add_image("2", architecture="arm64")]
    crane("push", "--index", layout.path, image)  # index.json itself is the index
    pushed = json.loads(crane("manifest", image))
    assert pushed == json.loads((layout.path / "index.json").read_text())
    assert crane("digest", "--platform", "linux/arm64", image).strip() == children[1]["digest"]
    crane("copy", image, f"{nginx_server.host}/admin/crane-index-copy:1")
    assert crane("digest", f"{nginx_server.host}/admin/crane-index-copy:1") == crane("digest", image)


def test_crane_copies_tags_lists_and_deletes(nginx_server: Server, crane: Client) -> None:
    repository = f"{nginx_server.host}/admin/crane-tags"
    layout = Layout(crane.home / "made")
    layout.add_image("1")
    crane("push", layout.path, f"{repository}:1")
    crane("tag", f"{repository}:1", "newest")
    assert crane("ls", repository).split() == ["1", "newest"]
    crane("copy", f"{repository}:1", f"{repository}-copied/deep:2")
    catalog = crane("catalog", nginx_server.host).split()
    assert {"admin/crane-tags", "admin/crane-tags-copied/deep"} <= set(catalog)
    crane("delete", f"{repository}:newest")
    assert crane("ls", repository).split() == ["1"]
    crane("delete", f"{repository}@{crane('digest', f'{repository}:1').strip()}")
    assert "MANIFEST_UNKNOWN" in crane.refused("digest", "--full-ref", f"{repository}:1") + crane.refused(
        "manifest", f"{repository}:1"
    )
    assert crane("digest", f"{repository}-copied/deep:2").strip().startswith("sha256:")


def test_crane_appends_and_mutates(nginx_server: Server, crane: Client) -> None:
    base, image = f"{nginx_server.host}/admin/crane-base:1", f"{nginx_server.host}/admin/crane-more:1"
    for number in (1, 2):
        (crane.home / f"{number}.tar").write_bytes(make_tar({f"file-{number}": os.urandom(2000)}))
    crane("append", "-f", crane.home / "1.tar", "-t", base)
    crane("append", "-b", base, "-f", crane.home / "2.tar", "-t", image)  # the base's layer is mounted
    crane("mutate", image, "--label", "made-by=test", "-t", image)
    config = json.loads(crane("config", image))
    assert config["config"]["Labels"] == {"made-by": "test"}
    assert len(config["rootfs"]["diff_ids"]) == 2
    crane("validate", "--remote", image)
    exported = subprocess.run(
        [*crane.command, "export", image, "-"],
        env={**environment(crane.home), **crane.variables},
        capture_output=True,
        check=True,
    ).stdout
    assert b"file-1" in exported
    assert b"file-2" in exported
    layers = json.loads(crane("manifest", image))["layers"]
    blob = subprocess.run(
        [*crane.command, "blob", f"{nginx_server.host}/admin/crane-more@{layers[1]['digest']}"],
        env={**environment(crane.home), **crane.variables},
        capture_output=True,
        check=True,
    ).stdout
    assert digest_of(blob) == layers[1]["digest"]
    assert gzip.decompress(blob) == (crane.home / "2.tar").read_bytes()


def test_crane_with_a_wrong_password_is_told_so(nginx_server: Server, crane: Client) -> None:
    crane("auth", "login", nginx_server.host, "-u", "admin", "--password-stdin", stdin="wrong")  # only kept
    assert "UNAUTHORIZED" in crane.refused("catalog", nginx_server.host)


# --- oras ------------------------------------------------------------------------------------------------------------


def address(server: Server) -> str:
    """As oras is to name it: it takes `localhost` for a server without TLS."""
    return f"127.0.0.1:{server.port}"


def test_oras_pushes_files_and_pulls_them(nginx_server: Server, oras: Client) -> None:
    artifact = f"{address(nginx_server)}/admin/oras:1"
    content = {"notes.txt": os.urandom(50_000), "empty.bin": b""}
    for name, data in content.items():
        (oras.home / name).write_bytes(data)
    words = [f"{name}:application/vnd.example.file" for name in content]
    oras("push", artifact, "--artifact-type", "application/vnd.example.notes", "--annotation", "a=b", *words)
    (oras.home / "back").mkdir()
    oras("pull", artifact, "-o", oras.home / "back")
    assert {path.name: path.read_bytes() for path in (oras.home / "back").iterdir()} == content
    manifest = json.loads(oras("manifest", "fetch", artifact))
    assert manifest["artifactType"] == "application/vnd.example.notes"
    assert manifest["annotations"]["a"] == "b"
    assert oras("repo", "tags", artifact.rpartition(":")[0]).split() == ["1"]
    assert "admin/oras" in oras("repo", "ls", address(nginx_server)).split()


def test_oras_attaches_discovers_and_copies_with_all_that_refers(nginx_server: Server, oras: Client) -> None:
    source, target = f"{address(nginx_server)}/admin/oras-source", f"{address(nginx_server)}/admin/oras-target"
    (oras.home / "file").write_text("the artifact")
    (oras.home / "bill").write_text('{"packages": []}')
    (oras.home / "signature").write_text("a signature of the bill")
    oras("push", f"{source}:1", "file:text/plain")
    attached = json.loads(
        oras("attach", f"{source}:1", "--artifact-type", "example/bill", "bill:text/plain", "--format", "json")
    )
    bill = attached["reference"] if "reference" in attached else f"{source}@{attached['digest']}"
    oras("attach", bill, "--artifact-type", "example/signature", "signature:text/plain")
    oras("attach", f"{source}:1", "--artifact-type", "example/other", "signature:text/plain")
    assert referrers(oras, f"{source}:1") == {"example/bill": {"example/signature": {}}, "example/other": {}}
    assert referrers(oras, f"{source}:1", "--artifact-type", "example/other") == {"example/other": {}}
    oras("cp", "-r", f"{source}:1", f"{target}:1")
    assert referrers(oras, f"{target}:1") == referrers(oras, f"{source}:1")
    assert oras("resolve", f"{target}:1") == oras("resolve", f"{source}:1")
    oras("cp", "-r", f"{target}:1", "--to-oci-layout", f"{oras.home}/copied:1")
    assert bill.rpartition(":")[2] in Layout(oras.home / "copied").blobs()


def referrers(oras: Client, artifact: str, *words: str) -> dict[str, Any]:
    """The tree of artifact types that refer to it, as the referrers API tells them."""
    tree = json.loads(
        oras("discover", "--format", "json", "--distribution-spec", "v1.1-referrers-api", *words, artifact)
    )

    def types(node: dict[str, Any]) -> dict[str, Any]:
        return {child["artifactType"]: types(child) for child in node.get("referrers") or []}

    return types(tree)


def test_oras_moves_manifests_blobs_and_tags_one_by_one(nginx_server: Server, oras: Client) -> None:
    repository = f"{address(nginx_server)}/admin/oras-parts"
    (oras.home / "file").write_text("the content")
    oras("push", f"{repository}:1", "file:text/plain")
    kept = oras.home / "manifest.json"
    oras("manifest", "fetch", f"{repository}:1", "--output", kept)
    manifest = json.loads(kept.read_text())
    manifest["annotations"] = {"changed": "yes"}
    kept.write_text(json.dumps(manifest))
    oras("manifest", "push", f"{repository}:2", kept)
    assert oras("resolve", f"{repository}:2").strip() == digest_of(kept.read_bytes())
    oras("tag", f"{repository}:2", "3", "4")
    assert oras("repo", "tags", repository).split() == ["1", "2", "3", "4"]
    layer = manifest["layers"][0]["digest"]
    assert oras("blob", "fetch", "--output", "-", f"{repository}@{layer}") == "the content"
    (oras.home / "blob").write_text("a blob by itself")
    pushed = oras("blob", "push", repository, oras.home / "blob")
    assert digest_of(b"a blob by itself") in pushed
    oras("blob", "delete", "--force", f"{repository}@{digest_of(b'a blob by itself')}")
    oras.refused("blob", "fetch", "--output", "-", f"{repository}@{digest_of(b'a blob by itself')}")
    oras("manifest", "index", "create", f"{repository}:both", "1", "2")
    index = json.loads(oras("manifest", "fetch", f"{repository}:both"))
    assert (index["mediaType"], len(index["manifests"])) == (OCI_INDEX, 2)
    oras("manifest", "delete", "--force", f"{repository}:2")
    assert oras("repo", "tags", repository).split() == ["1", "both"]


def test_oras_that_speaks_plain_http_to_the_port_is_told_so(nginx_server: Server, oras: Client) -> None:
    assert "use https://" in oras.refused("repo", "ls", "--plain-http", address(nginx_server))


def test_oras_with_a_wrong_password_is_told_so(nginx_server: Server, oras: Client) -> None:
    said = oras.refused("login", address(nginx_server), "-u", "admin", "--password-stdin", stdin="wrong")
    assert "incorrect username or password" in said
    oras("logout", address(nginx_server))
    assert "unauthorized" in oras.refused("pull", f"{address(nginx_server)}/admin/oras:1")


# --- regctl ----------------------------------------------------------------------------------------------------------


def test_regctl_copies_an_image_with_its_referrers_and_digest_tags(nginx_server: Server, regctl: Client) -> None:
    source, target = f"{nginx_server.host}/admin/regctl-source", f"{nginx_server.host}/admin/regctl-target"
    layout = Layout(regctl.home / "made")
    children = [layout.add_image(architecture="amd64"), layout.add_image(architecture="arm64")]
    digest = str(layout.add_index("1", children)["digest"])
    regctl("image", "copy", f"ocidir://{layout.path}:1", f"{source}:1")
    assert regctl("image", "digest", f"{source}:1").strip() == digest
    regctl("artifact", "put", "--artifact-type", "example/bill", "--subject", f"{source}:1", stdin="a bill")
    by_tag = f"{source}:{digest.replace(':', '-')}.sig"
    regctl("artifact", "put", "--artifact-type", "example/signature", by_tag, stdin="a signature")
    regctl("image", "copy", "--referrers", "--digest-tags", f"{source}:1", f"{target}:1")
    assert regctl("image", "digest", f"{target}:1").strip() == digest
    listed = json.loads(regctl("artifact", "list", f"{target}:1", "--format", "{{json .Descriptors}}"))
    assert [item["artifactType"] for item in listed] == ["example/bill"]
    fetched = regctl("artifact", "get", f"{target}@{listed[0]['digest']}")
    assert fetched == "a bill"
    assert regctl("tag", "ls", target).split() == ["1", f"{digest.replace(':', '-')}.sig"]
    back = Layout(regctl.home / "back")
    regctl("image", "copy", f"{target}:1", f"ocidir://{back.path}:1")
    assert layout.blobs().items() <= back.blobs().items()


def test_regctl_makes_an_index_and_deletes_tags(nginx_server: Server, regctl: Client) -> None:
    repository = f"{nginx_server.host}/admin/regctl-index"
    layout = Layout(regctl.home / "made")
    images = [layout.add_image("amd64", architecture="amd64"), layout.add_image("arm64", architecture="arm64")]
    for tag in ("amd64", "arm64"):
        regctl("image", "copy", f"ocidir://{layout.path}:{tag}", f"{repository}:{tag}")
    regctl("index", "create", f"{repository}:all", "--ref", f"{repository}:amd64", "--ref", f"{repository}:arm64")
    index = json.loads(regctl("manifest", "get", f"{repository}:all", "--format", "raw-body"))
    assert [child["digest"] for child in index["manifests"]] == [image["digest"] for image in images]
    regctl("index", "delete", f"{repository}:all", "--digest", str(images[1]["digest"]))
    index = json.loads(regctl("manifest", "get", f"{repository}:all", "--format", "raw-body"))
    assert [child["digest"] for child in index["manifests"]] == [images[0]["digest"]]
    regctl("tag", "delete", f"{repository}:arm64")
    assert regctl("tag", "ls", repository).split() == ["all", "amd64"]
    assert regctl("tag", "ls", "--limit", "1", repository).split() == ["all"]
    assert "admin/regctl-index" in regctl("repo", "ls", nginx_server.host).split()


def test_regctl_puts_and_gets_a_blob(nginx_server: Server, regctl: Client) -> None:
    repository = f"{nginx_server.host}/admin/regctl-blob"
    content = "so it goes\n" * 100_000
    digest = regctl("blob", "put", repository, stdin=content).strip()
    assert digest == digest_of(content.encode())
    assert regctl("blob", "get", repository, digest) == content
    regctl("blob", "copy", repository, f"{repository}-copied", digest)
    assert regctl("blob", "get", f"{repository}-copied", digest) == content
    assert "Content-Length: 1100000" in regctl("blob", "head", repository, digest)
    regctl("blob", "delete", repository, digest)
    regctl.refused("blob", "get", repository, digest)


def test_regctl_with_a_wrong_password_is_told_so(nginx_server: Server, regctl: Client) -> None:
    said = regctl.refused("registry", "login", nginx_server.host, "-u", "admin", "--pass-stdin", stdin="wrong")
    assert "401" in said or "unauthorized" in said.lower()
