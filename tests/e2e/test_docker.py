"""The Docker engine, with each docker command of this machine. Written for engine 20.10, commands 20.10 and 28.2."""

import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.clients import Client, add_user, environment
from support.engines import REMOTE_NAME, Engine, start_engine
from support.layouts import make_tar
from support.servers import Server, nginx_or_skip

LAYERS = 3
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def docker_commands() -> list[str]:
    """Every docker command on the path, each once."""
    folders = environment(Path())["PATH"].split(":")
    found = {(Path(folder) / "docker").resolve(): None for folder in folders if os.access(f"{folder}/docker", os.X_OK)}
    return [str(path) for path in found] or ["docker"]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with start_engine() as started:
        yield started


@dataclass(frozen=True)
class Docker:
    """The docker command on the tests' engine."""

    run: Client
    host: str

    def login(self, name: str, password: str) -> None:
        said = self.run("login", self.host, "-u", name, "--password-stdin", stdin=password)
        assert "Login Succeeded" in said

    def name(self, repository: str, tag: str = "1") -> str:
        return f"{self.host}/{repository}:{tag}"

    def build(self, *names: str) -> str:
        """The id of a new image of three layers under these names: one imported, two built on it."""
        folder = self.run.home / secrets.token_hex(4)
        folder.mkdir()
        (folder / "base.tar").write_bytes(make_tar({"base": secrets.token_bytes(100_000)}))
        base = f"base-{folder.name}:1"
        self.run("import", folder / "base.tar", base)
        (folder / "small").write_bytes(secrets.token_bytes(100))
        (folder / "large").write_bytes(secrets.token_bytes(4_000_000))
        (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY small /\nCOPY large /srv/\nCMD /srv/large\n")
        self.run("build", "--quiet", *(word for name in names for word in ("--tag", name)), folder)
        image = self.id_of(names[0])
        self.run("image", "rm", base)
        return image

    def id_of(self, image: str) -> str:
        return self.run("image", "inspect", "--format", "{{.Id}}", image).strip()

    def push(self, image: str) -> tuple[str, str]:
        """The digest that it has in the registry, and all that was said."""
        said = self.run("push", image)
        found = re.search(r"digest: (sha256:[0-9a-f]{64}) size: \d+", said)
        assert found is not None, said
        return found.group(1), said

    def remove(self, *images: str) -> None:
        """No layer of them is left here, so that a pull has to fetch them."""
        ids = [self.id_of(image) for image in images]
        self.run("image", "rm", "--force", *ids)
        for image in ids:
            assert "No such image" in self.run.refused("image", "inspect", image)


@pytest.fixture
def docker(request: pytest.FixtureRequest, engine: Engine, nginx_server: Server, tmp_path: Path) -> Docker:
    """The docker command, not signed in."""
    return Docker(engine.client(getattr(request, "param", docker_commands()[0]), tmp_path), nginx_server.host)


each_command = pytest.mark.parametrize("docker", docker_commands(), indirect=True, ids=lambda path: path[1:])


@pytest.fixture
def signed_in(docker: Docker, nginx_server: Server) -> Docker:
    docker.login("admin", nginx_server.password)
    return docker


@pytest.fixture
def repository() -> str:
    return f"admin/docker-{secrets.token_hex(4)}"


@each_command
def test_an_image_comes_back_by_tag_and_by_digest(signed_in: Docker, repository: str) -> None:
    name = signed_in.name(repository)
    image = signed_in.build(name)
    digest, said = signed_in.push(name)
    assert said.count(": Pushed") == LAYERS
    by_digest = f"{signed_in.host}/{repository}@{digest}"
    for reference in (name, by_digest):
        signed_in.remove(image)
        pulled = signed_in.run("pull", reference)
        assert pulled.count("Pull complete") == LAYERS
        assert f"Digest: {digest}" in pulled
        assert signed_in.id_of(reference) == image  # the id is the digest of the config, which names all layers


def test_a_second_push_sends_no_layer(signed_in: Docker, repository: str) -> None:
    name = signed_in.name(repository)
    signed_in.build(name)
    digest, _ = signed_in.push(name)
    again, said = signed_in.push(name)
    assert again == digest
    assert said.count("Layer already exists") == LAYERS


def test_layers_are_mounted_from_another_repository(signed_in: Docker, repository: str) -> None:
    first, second = signed_in.name(repository), signed_in.name(f"{repository}-copy/deep")
    signed_in.build(first, second)
    digest, _ = signed_in.push(first)
    mounted, said = signed_in.push(second)
    assert mounted == digest
    assert said.count(f"Mounted from {repository}") == LAYERS
    signed_in.remove(first)
    assert signed_in.run("pull", second).count("Pull complete") == LAYERS


def test_all_tags_are_pushed_and_pulled(signed_in: Docker, repository: str) -> None:
    names = [signed_in.name(repository, tag) for tag in ("a", "b")]
    images = [signed_in.build(name) for name in names]
    signed_in.run("push", "--all-tags", f"{signed_in.host}/{repository}")
    signed_in.remove(*images)
    signed_in.run("pull", "--all-tags", f"{signed_in.host}/{repository}")
    assert [signed_in.id_of(name) for name in names] == images


@each_command
def test_a_wrong_password_is_refused_with_a_clear_message(docker: Docker) -> None:
    for name in ("admin", "nobody-of-that-name"):
        said = docker.run.refused("login", docker.host, "-u", name, "--password-stdin", stdin="wrong")
        assert "unauthorized: incorrect username or password" in said
        assert "Login Succeeded" not in said


def test_who_signed_out_gets_no_private_image(signed_in: Docker, repository: str) -> None:
    name = signed_in.name(repository)
    image = signed_in.build(name)
    signed_in.push(name)
    signed_in.remove(image)
    assert "Removing login credentials" in signed_in.run("logout", signed_in.host)
    refused = signed_in.run.refused("pull", name)
    assert "access denied" in refused or "unauthorized" in refused
    nothing = signed_in.run.refused("pull", signed_in.name("admin/never-was"))
    assert refused.replace(repository, "…") == nothing.replace("admin/never-was", "…")


def test_anyone_pulls_a_public_image(signed_in: Docker, nginx_server: Server, repository: str) -> None:
    name = signed_in.name(repository)
    image = signed_in.build(name)
    signed_in.push(name)
    with nginx_server.client() as client:
        namespace, _, rest = repository.partition("/")
        changed = client.patch(f"/api/v0/repositories/{namespace}/{rest}", json={"visibility": "public"})
        assert changed.status_code == 200, changed.text
    signed_in.run("logout", signed_in.host)
    signed_in.remove(image)
    signed_in.run("pull", name)
    assert signed_in.id_of(name) == image


def test_nobody_pushes_into_another_ones_namespace(docker: Docker, nginx_server: Server, repository: str) -> None:
    add_user(nginx_server, "dora", "doras password")
    docker.login("dora", "doras password")
    name = docker.name(repository)
    docker.build(name, docker.name("dora/own"))
    assert "denied" in docker.run.refused("push", name)
    docker.push(docker.name("dora/own"))


@dataclass
class RemoteServer(Server):
    """A server that Docker takes for one of another machine. It makes no repositories by pushes."""

    @property
    def host(self) -> str:
        return f"{REMOTE_NAME}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


@pytest.fixture(scope="module")
def remote_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    nginx_or_skip()
    server = RemoteServer(tmp_path_factory.mktemp("remote") / "data", "nginx", {"LADING_SERVER__NAMES": REMOTE_NAME})
    try:
        yield server.start()
    finally:
        server.cleanup()


def make_repository(server: Server, repository: str) -> None:
    namespace, _, name = repository.partition("/")
    with server.client() as client:
        made = client.post(f"/api/v0/repositories/{namespace}", json={"name": name})
        assert made.status_code == 201, made.text


@pytest.fixture
def remote(docker: Docker, engine: Engine, remote_server: Server) -> Docker:
    """The docker command, signed in to the remote server, which the engine trusts by `lading trust-host`."""
    lading = engine.client(str(Path(sys.executable).with_name("lading")), docker.run.home)
    lading("trust-host", remote_server.host, "--yes", "--root", engine.folder)
    signed_in = replace(docker, host=remote_server.host)
    signed_in.login("admin", remote_server.password)
    return signed_in


@each_command
def test_the_engine_trusts_a_server_only_after_trust_host(
    docker: Docker, engine: Engine, remote_server: Server, request: pytest.FixtureRequest
) -> None:
    shutil.rmtree(engine.certificates / remote_server.host, ignore_errors=True)
    words = ("login", remote_server.host, "-u", "admin", "--password-stdin")
    assert "certificate signed by unknown authority" in docker.run.refused(*words, stdin=remote_server.password)
    request.getfixturevalue("remote")
    assert (engine.certificates / remote_server.host / "ca.crt").is_file()


def test_a_push_that_may_not_make_the_repository_says_how_to_make_it(
    remote: Docker, remote_server: Server, repository: str
) -> None:
    remote.build(remote.name(repository))
    said = remote.run.refused("push", remote.name(repository))
    assert f"create it first: lading repo create {repository}" in said
    make_repository(remote_server, repository)
    remote.push(remote.name(repository))


def test_an_engine_with_a_client_certificate_needs_no_docker_login_until_the_key_is_deleted(
    docker: Docker, engine: Engine, remote_server: Server, repository: str
) -> None:
    make_repository(remote_server, repository)
    lading = engine.client(str(Path(sys.executable).with_name("lading")), docker.run.home)
    lading("trust-host", remote_server.host, "--yes", "--root", engine.folder)
    bundle, keys = docker.run.home / "bundle", "/enzi/v0/accounts/admin/publicKeys"
    lading("bundle", "--for", "admin", "--data", remote_server.data, "--output", bundle, "--label", repository)
    for name, put in (("cert.pem", "client.cert"), ("key.pem", "client.key")):
        shutil.copy(bundle / name, engine.certificates / remote_server.host / put)
    try:
        remote = replace(docker, host=remote_server.host)
        image = remote.build(remote.name(repository))
        digest, _ = remote.push(remote.name(repository))
        remote.remove(image)
        assert f"Digest: {digest}" in remote.run("pull", remote.name(repository))
        with remote_server.client() as admin:
            listed = admin.get(keys, params={"limit": 100}).json()["accountPublicKeys"]
            (key,) = (item["id"] for item in listed if item["label"] == repository)
            assert admin.delete(f"{keys}/{key}").status_code == 204
        said = remote.run.refused("pull", remote.name(repository))
        assert "the client certificate is not accepted" in said
    finally:
        for name in ("client.cert", "client.key"):
            (engine.certificates / remote_server.host / name).unlink()


# `docker manifest push` speaks plain HTTP to any server of this machine, so this asks the remote one.
@each_command
def test_a_manifest_list_gives_each_platform_its_image(remote: Docker, remote_server: Server, repository: str) -> None:
    make_repository(remote_server, repository)
    own = remote.run("version", "--format", "{{.Server.Arch}}").strip()
    other = "arm64" if own == "amd64" else "amd64"
    digests, images = {}, {}
    for architecture in (own, other):
        name = remote.name(repository, architecture)
        images[architecture] = remote.build(name)
        digests[architecture], _ = remote.push(name)
    listed = remote.name(repository, "all")
    remote.run("manifest", "create", listed, *(remote.name(repository, name) for name in digests))
    remote.run("manifest", "annotate", "--os", "linux", "--arch", other, listed, remote.name(repository, other))
    pushed = remote.run("manifest", "push", "--purge", listed).split()[-1]
    shown = json.loads(remote.run("manifest", "inspect", listed))
    assert shown["mediaType"] == DOCKER_LIST
    assert {item["platform"]["architecture"]: item["digest"] for item in shown["manifests"]} == digests
    remote.remove(*images.values())
    assert f"Digest: {pushed}" in remote.run("pull", listed)
    assert remote.id_of(listed) == images[own]
