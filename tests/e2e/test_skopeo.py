"""skopeo with images made by umoci: what is pushed comes back byte for byte. Written for skopeo 1.9 and umoci 0.4."""

import json
import secrets
from pathlib import Path

import pytest

from support.clients import Client, add_user, program, trust
from support.layouts import Layout
from support.registries import OCI_INDEX
from support.servers import Server

ZSTD_MAGIC = bytes.fromhex("28b52ffd")


@pytest.fixture
def skopeo(nginx_server: Server, tmp_path: Path) -> Client:
    """skopeo, not signed in, trusting the server."""
    client = Client((program("skopeo", "skopeo"),), tmp_path)
    trust(nginx_server, tmp_path)
    return client


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A layout with the image `1` of four layers, made by umoci."""
    umoci = Client((program("umoci", "umoci"),), tmp_path)
    path = tmp_path / "made"
    umoci("init", "--layout", path)
    add_umoci_image(umoci, path, "1")
    return Layout(path)


def add_umoci_image(umoci: Client, path: Path, tag: str, architecture: str = "amd64") -> None:
    image = f"{path}:{tag}"
    umoci("new", "--image", image)
    for number in range(4):
        content = umoci.home / f"content-{number}"
        content.write_bytes(secrets.token_bytes(300_000) + b"so it goes\n" * 30_000)
        umoci("insert", "--image", image, content, f"/srv/content-{number}")
    umoci("config", "--image", image, "--architecture", architecture, "--config.cmd", "/srv/content-0")
    umoci("gc", "--layout", path)


def sign_in(skopeo: Client, server: Server) -> None:
    skopeo("login", "-u", "admin", "--password-stdin", server.host, stdin=server.password)


def test_an_image_of_umoci_comes_back_byte_for_byte(nginx_server: Server, skopeo: Client, layout: Layout) -> None:
    sign_in(skopeo, nginx_server)
    image = f"docker://{nginx_server.host}/admin/umoci:1"
    skopeo("copy", f"oci:{layout.path}:1", image)
    back = Layout(skopeo.home / "back")
    skopeo("copy", image, f"oci:{back.path}:1")
    assert back.blobs() == layout.blobs()
    assert len(back.blobs()) == 6  # four layers, config, manifest
    umoci = Client((program("umoci", "umoci"),), skopeo.home)
    umoci("unpack", "--rootless", "--image", f"{back.path}:1", skopeo.home / "bundle")
    unpacked = skopeo.home / "bundle/rootfs/srv/content-3"
    assert unpacked.read_bytes() == (skopeo.home / "content-3").read_bytes()


def test_a_second_copy_finds_the_layers_there_and_another_repository_gets_them_mounted(
    nginx_server: Server, skopeo: Client, layout: Layout
) -> None:
    sign_in(skopeo, nginx_server)
    repository = f"docker://{nginx_server.host}/admin/seen"
    skopeo("copy", f"oci:{layout.path}:1", f"{repository}:1")
    again = Client((*skopeo.command, "--debug"), skopeo.home).everything(
        "copy", f"oci:{layout.path}:1", f"{repository}:2"
    )
    elsewhere = Client((*skopeo.command, "--debug"), skopeo.home).everything(
        "copy", f"{repository}:1", f"{repository}-elsewhere:1"
    )
    assert again.count("Skipping blob") == 4
    assert elsewhere.count("... mount OK") == 4
    assert elsewhere.count("PATCH https://") == 1  # the config, which skopeo never mounts
    inspected = json.loads(skopeo("inspect", f"{repository}-elsewhere:1"))
    assert inspected["Digest"] == layout.digest("1")


def test_all_images_of_an_index_are_copied(nginx_server: Server, skopeo: Client, layout: Layout) -> None:
    umoci = Client((program("umoci", "umoci"),), skopeo.home)
    add_umoci_image(umoci, layout.path, "arm", "arm64")
    children = json.loads((layout.path / "index.json").read_text())["manifests"]
    for child, architecture in zip(children, ("amd64", "arm64"), strict=True):
        child["platform"] = {"architecture": architecture, "os": "linux"}
        del child["annotations"]
    digest = layout.add_index("all", children)["digest"]
    sign_in(skopeo, nginx_server)
    image = f"docker://{nginx_server.host}/admin/multi:all"
    skopeo("copy", "--all", f"oci:{layout.path}:all", image)
    back = Layout(skopeo.home / "back")
    skopeo("copy", "--all", image, f"oci:{back.path}:all")
    assert back.blobs() == layout.blobs()
    assert back.digest("all") == digest
    assert json.loads(skopeo("inspect", "--raw", image))["mediaType"] == OCI_INDEX
    of_arm = json.loads(skopeo("--override-arch", "arm64", "inspect", "--config", image))
    assert of_arm["architecture"] == "arm64"
    by_digest = f"docker://{nginx_server.host}/admin/multi@{children[1]['digest']}"
    assert json.loads(skopeo("inspect", "--config", by_digest)) == of_arm


def test_zstd_layers_are_kept_as_such(nginx_server: Server, skopeo: Client, layout: Layout) -> None:
    sign_in(skopeo, nginx_server)
    image = f"docker://{nginx_server.host}/admin/zstd:1"
    skopeo("copy", "--dest-compress-format", "zstd", f"oci:{layout.path}:1", image)
    layers = json.loads(skopeo("inspect", "--raw", image))["layers"]
    assert {layer["mediaType"] for layer in layers} == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    back = Layout(skopeo.home / "back")
    skopeo("copy", image, f"oci:{back.path}:1")
    blobs = back.blobs()
    for layer in layers:
        content = blobs[layer["digest"].removeprefix("sha256:")]
        assert content.startswith(ZSTD_MAGIC)
        assert len(content) == layer["size"]


def test_an_image_becomes_one_of_docker_and_is_kept_as_such(
    nginx_server: Server, skopeo: Client, layout: Layout
) -> None:
    sign_in(skopeo, nginx_server)
    image = f"docker://{nginx_server.host}/admin/docker-form:1"
    skopeo("copy", "--format", "v2s2", f"oci:{layout.path}:1", image)
    raw = json.loads(skopeo("inspect", "--raw", image))
    assert raw["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    folder = skopeo.home / "folder"
    skopeo("copy", "--preserve-digests", image, f"dir:{folder}")
    assert json.loads((folder / "manifest.json").read_text()) == raw
    assert {layer["digest"].partition(":")[2] for layer in raw["layers"]} <= {path.name for path in folder.iterdir()}


def test_tags_are_listed_inspected_and_deleted(nginx_server: Server, skopeo: Client, layout: Layout) -> None:
    sign_in(skopeo, nginx_server)
    repository = f"docker://{nginx_server.host}/admin/tags"
    for tag in ("b", "a", "c"):
        skopeo("copy", f"oci:{layout.path}:1", f"{repository}:{tag}")
    assert json.loads(skopeo("list-tags", repository))["Tags"] == ["a", "b", "c"]
    inspected = json.loads(skopeo("inspect", f"{repository}:b"))
    assert (inspected["Digest"], len(inspected["Layers"])) == (layout.digest("1"), 4)
    assert inspected["RepoTags"] == ["a", "b", "c"]
    skopeo("delete", f"{repository}:b")  # deletes the manifest, and so all of its tags
    assert "manifest unknown" in skopeo.refused("inspect", f"{repository}:a")
    assert json.loads(skopeo("list-tags", repository))["Tags"] == []


def test_a_repository_is_synced_to_a_folder_and_to_another_repository(
    nginx_server: Server, skopeo: Client, layout: Layout
) -> None:
    sign_in(skopeo, nginx_server)
    for tag in ("1", "2"):
        skopeo("copy", f"oci:{layout.path}:1", f"docker://{nginx_server.host}/admin/synced:{tag}")
    folder = skopeo.home / "folder"
    folder.mkdir()
    skopeo("sync", "--src", "docker", "--dest", "dir", f"{nginx_server.host}/admin/synced", folder)
    assert sorted(path.name for path in folder.iterdir()) == ["synced:1", "synced:2"]
    skopeo("sync", "--src", "dir", "--dest", "docker", folder, f"{nginx_server.host}/admin/mirror")
    for tag in ("1", "2"):
        inspected = json.loads(skopeo("inspect", f"docker://{nginx_server.host}/admin/mirror/synced:{tag}"))
        assert inspected["Digest"] == layout.digest("1")


def test_strangers_and_wrong_passwords_get_nothing(nginx_server: Server, skopeo: Client, layout: Layout) -> None:
    image = f"docker://{nginx_server.host}/admin/private:1"
    wrong = skopeo.refused("login", "-u", "admin", "--password-stdin", nginx_server.host, stdin="wrong")
    assert "invalid username/password" in wrong
    sign_in(skopeo, nginx_server)
    skopeo("copy", f"oci:{layout.path}:1", image)
    add_user(nginx_server, "sam", "sams password")
    of_sam = skopeo.refused("inspect", "--creds", "sam:sams password", image)
    nothing = skopeo.refused("inspect", "--creds", "sam:sams password", image.replace("private", "nothing"))
    assert "requested access to the resource is denied" in of_sam
    assert of_sam.replace("private", "nothing").splitlines()[1:] == nothing.splitlines()[1:]
    skopeo("logout", nginx_server.host)
    assert "unauthorized" in skopeo.refused("inspect", image)
    assert "access to the resource is denied" in skopeo.refused("copy", f"oci:{layout.path}:1", image)


def test_a_server_that_is_not_trusted_is_refused(nginx_server: Server, tmp_path: Path, layout: Layout) -> None:
    skopeo = Client((program("skopeo", "skopeo"),), tmp_path)
    said = skopeo.refused("login", "-u", "admin", "--password-stdin", nginx_server.host, stdin=nginx_server.password)
    assert "certificate signed by unknown authority" in said
