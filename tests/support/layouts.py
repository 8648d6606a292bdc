"""OCI image layouts in a folder: whole images, which clients unpack and check. Source: OCI image spec, image-layout.md."""

import gzip
import hashlib
import io
import json
import secrets
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.registries import CONFIG, LAYER, OCI_INDEX, OCI_MANIFEST, descriptor


def make_tar(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files, as a layer is one before it is compressed."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


@dataclass(frozen=True)
class Layout:
    """A layout; `path` is its folder, made when it is missing."""

    path: Path

    def put(self, data: bytes, media_type: str) -> dict[str, object]:
        """The blob is in the layout; its descriptor."""
        blobs = self.path / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (blobs / hashlib.sha256(data).hexdigest()).write_bytes(data)
        return descriptor(data, media_type)

    def add_image(self, tag: str = "", *, architecture: str = "amd64", layers: int = 3) -> dict[str, object]:
        """The descriptor of a new image whose layers hold some compressible and some random bytes."""
        tars = [
            make_tar({f"file-{number}": secrets.token_bytes(40_000), f"text-{number}": b"so it goes\n" * 5000})
            for number in range(layers)
        ]
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/file-0"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]},
            "history": [{"created_by": f"layer {number}"} for number in range(layers)],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.put(json.dumps(config).encode(), CONFIG),
            "layers": [self.put(gzip.compress(tar, mtime=0), LAYER) for tar in tars],
        }
        platform = {"architecture": architecture, "os": "linux"}
        return self._name(tag, {**self.put(json.dumps(manifest).encode(), OCI_MANIFEST), "platform": platform})

    def add_index(self, tag: str, children: Sequence[Mapping[str, object]]) -> dict[str, object]:
        """The descriptor of an index of these images."""
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)}
        return self._name(tag, self.put(json.dumps(index).encode(), OCI_INDEX))

    def blobs(self) -> dict[str, bytes]:
        """All that it holds, by name: each name is the digest, and it is checked."""
        found = {path.name: path.read_bytes() for path in (self.path / "blobs" / "sha256").iterdir()}
        for name, content in found.items():
            assert hashlib.sha256(content).hexdigest() == name
        return found

    def digest(self, tag: str) -> str:
        """What the tag names."""
        entries = json.loads((self.path / "index.json").read_text())["manifests"]
        (found,) = [entry["digest"] for entry in entries if _tag_of(entry) == tag]
        return str(found)

    def _name(self, tag: str, entry: dict[str, object]) -> dict[str, object]:
        if tag:
            file = self.path / "index.json"
            known = json.loads(file.read_text())["manifests"] if file.exists() else []
            named = {**entry, "annotations": {"org.opencontainers.image.ref.name": tag}}
            file.write_text(json.dumps({"schemaVersion": 2, "manifests": [*known, named]}))
        return entry


def _tag_of(entry: Mapping[str, Mapping[str, str]]) -> str:
    return entry.get("annotations", {}).get("org.opencontainers.image.ref.name", "")
