"""What an image says of itself, for people: platforms, author, the lines that built it. Pure, and never fails: what can't be
read is left out. Source: OCI image spec, config.md and image-index.md.
"""

from dataclasses import dataclass

import msgspec

CONFIG_LIMIT = 4 * 1024 * 1024  # bytes of a config that is read; larger ones are not looked into


class _Platform(msgspec.Struct):
    os: str = ""
    architecture: str = ""


class _Child(msgspec.Struct):
    digest: str
    platform: _Platform = msgspec.field(default_factory=_Platform)


class _Index(msgspec.Struct):
    manifests: list[_Child] = []


class _Layer(msgspec.Struct, rename="camel"):
    digest: str
    size: int = 0
    media_type: str = ""
    urls: list[str] | None = None


class _Image(msgspec.Struct):
    layers: list[_Layer] = []


class _History(msgspec.Struct):
    created_by: str = ""
    empty_layer: bool = False


class _Config(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    author: str = ""
    created: str | None = None
    history: list[_History] | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A manifest that an index names, and for which platform."""

    digest: str
    os: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Line:
    """One step of a build. `digest` is empty for steps that made no layer."""

    text: str
    digest: str
    media_type: str
    size: int
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a config tells."""

    os: str
    architecture: str
    os_version: str
    author: str
    created: str | None
    lines: tuple[Line, ...]


def children_of(index: bytes) -> list[Child]:
    """The manifests that an index names, in its order."""
    try:
        document = msgspec.json.decode(index, type=_Index)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    return [Child(item.digest, item.platform.os, item.platform.architecture) for item in document.manifests]


def facts_of(manifest: bytes, config: bytes) -> ImageFacts | None:
    """What the config of an image tells; None when it is no image's config."""
    try:
        image = msgspec.json.decode(manifest, type=_Image)
        document = msgspec.json.decode(config, type=_Config)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    lines = _lines(document.history or [], image.layers)
    return ImageFacts(
        document.os, document.architecture, document.os_version, document.author, document.created, tuple(lines)
    )


def _lines(history: list[_History], layers: list[_Layer]) -> list[Line]:
    waiting = iter(layers)
    lines = []
    for step in history:
        layer = None if step.empty_layer else next(waiting, None)
        if layer is None:
            lines.append(Line(step.created_by, "", "", 0))
        else:
            lines.append(Line(step.created_by, layer.digest, layer.media_type, layer.size, tuple(layer.urls or ())))
    return lines
