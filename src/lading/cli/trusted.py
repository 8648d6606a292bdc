"""Where the authority of a registry lies on this machine: written by `lading trust-host`, read by `lading`."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program looks for the authority of a host."""

    program: str
    path: Path


def places(host: str, *, root: Path = Path("/")) -> list[Place]:
    """All of them. Source: the manuals of docker, dockerd, and containers-certs.d(5)."""
    home = Path.home()
    podman = root / "etc/containers/certs.d" if os.geteuid() == 0 else home / ".config/containers/certs.d"
    return [
        Place("docker trust, notary, lading", home / ".docker/tls" / host / "ca.crt"),
        Place("Docker engine", root / "etc/docker/certs.d" / host / "ca.crt"),
        Place("podman, skopeo, buildah", podman / host / "ca.crt"),
    ]
