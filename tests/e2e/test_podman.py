"""podman with its own login, its images in a temporary store. Written for podman 4.3."""

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients import Client, add_user, program, root_or_skip, trust
from support.layouts import make_tar
from support.servers import PASSWORD, Server


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Client]:
    """podman, not signed in, trusting nobody. It only moves images; nothing is run in a container."""
    root_or_skip("podman with a store of its own")
    folder = Path(tempfile.mkdtemp(prefix="podman-", dir="/tmp"))  # it refuses a runroot of more than 50 characters
    command = (
        program("podman", "podman"), "--root", str(folder / "root"), "--runroot", str(folder / "runroot"),
        "--tmpdir", str(folder / "tmp"), "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
        "--events-backend", "none",
    )  # fmt: skip
    yield Client(command, tmp_path)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def trusting(nginx_server: Server, podman: Client) -> Client:
    """podman, not signed in, trusting the server by `lading trust-host`."""
    trust(nginx_server, podman.home)
    return podman


@pytest.fixture
def image(podman: Client) -> str:
    """The id of a new image of one layer."""
    (podman.home / "root.tar").write_bytes(make_tar({"srv/content": secrets.token_bytes(300_000)}))
    return podman("import", "--quiet", podman.home / "root.tar").strip().removeprefix("sha256:")


@pytest.fixture
def name(nginx_server: Server) -> str:
    """What an image is called in the registry."""
    return f"{nginx_server.host}/admin/podman-{secrets.token_hex(4)}:1"


def sign_in(podman: Client, server: Server, name: str = "admin", password: str = PASSWORD, more: str = "") -> None:
    words = ("login", *more.split(), "-u", name, "--password-stdin", server.host)
    assert "Login Succeeded" in podman(*words, stdin=password)


def test_an_image_comes_back_by_tag_and_by_digest(
    nginx_server: Server, trusting: Client, image: str, name: str
) -> None:
    sign_in(trusting, nginx_server)
    digest_file = trusting.home / "digest"
    trusting("push", "--digestfile", digest_file, image, name)
    digest = digest_file.read_text().strip()
    for reference in (name, f"{name.rpartition(':')[0]}@{digest}"):
        trusting("image", "rm", "--all", "--force")
        assert trusting("image", "ls", "--quiet") == ""
        assert trusting("pull", "--quiet", reference).strip() == image
    assert json.loads(trusting("image", "inspect", image))[0]["Digest"] == digest


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_an_image_is_kept_in_either_form(
    nginx_server: Server, trusting: Client, image: str, name: str, kind: str
) -> None:
    sign_in(trusting, nginx_server)
    trusting("push", "--format", kind, image, name)
    trusting("image", "rm", "--all", "--force")
    assert trusting("pull", "--quiet", name).strip() == image
    media_type = json.loads(trusting("image", "inspect", image))[0]["ManifestType"]
    assert media_type.startswith({"oci": "application/vnd.oci.", "v2s2": "application/vnd.docker."}[kind])


def test_images_of_several_platforms_are_pushed_as_one(
    nginx_server: Server, trusting: Client, image: str, name: str
) -> None:
    sign_in(trusting, nginx_server)
    trusting("manifest", "create", "several")
    trusting("manifest", "add", "several", f"containers-storage:{image}")
    (trusting.home / "other.tar").write_bytes(make_tar({"srv/content": b"another"}))
    other = trusting("import", "--quiet", "--arch", "arm64", trusting.home / "other.tar").strip()
    trusting("manifest", "add", "several", f"containers-storage:{other.removeprefix('sha256:')}")
    trusting("manifest", "push", "--all", "several", f"docker://{name}")
    trusting("image", "rm", "--all", "--force")
    assert trusting("pull", "--quiet", "--arch", "arm64", name).strip() == other.removeprefix("sha256:")


def test_a_wrong_password_is_refused(nginx_server: Server, trusting: Client) -> None:
    said = trusting.refused("login", "-u", "admin", "--password-stdin", nginx_server.host, stdin="wrong")
    assert "invalid username/password" in said


def test_who_signed_out_gets_no_private_image(nginx_server: Server, trusting: Client, image: str, name: str) -> None:
    sign_in(trusting, nginx_server)
    trusting("push", image, name)
    trusting("image", "rm", "--all", "--force")
    trusting("logout", nginx_server.host)
    assert "unauthorized" in trusting.refused("pull", name)
    assert trusting("image", "ls", "--quiet") == ""


def test_nobody_pushes_into_another_ones_namespace(
    nginx_server: Server, trusting: Client, image: str, name: str
) -> None:
    add_user(nginx_server, "pat", "pats password")
    sign_in(trusting, nginx_server, "pat", "pats password")
    assert "denied" in trusting.refused("push", image, name)


def test_a_server_is_trusted_by_a_folder_given_on_the_command_line(
    nginx_server: Server, podman: Client, image: str, name: str
) -> None:
    (podman.home / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    folder = podman.home / "certificates"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(nginx_server.authority.read_bytes())
    sign_in(podman, nginx_server, more=f"--cert-dir={folder}")
    podman("push", "--cert-dir", folder, "--signature-policy", podman.home / "policy.json", image, name)
    refused = podman.refused("push", "--signature-policy", podman.home / "policy.json", image, name)
    assert "certificate signed by unknown authority" in refused
