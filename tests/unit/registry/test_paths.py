"""The grammar of `/v2/` paths: read from the end, from the raw bytes, and never in two ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.core.errors import LadingError
from lading.registry.paths import Kind, PathInvalidError, parse_path

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("/v2/", Kind.BASE, None),
        ("/v2", Kind.BASE, None),
        ("/v2/_catalog", Kind.CATALOG, None),
        ("/v2/a/b/tags/list", Kind.TAGS, "a/b"),
        ("/v2/a/b/manifests/latest", Kind.MANIFEST, "a/b"),
        (f"/v2/a/b/manifests/{DIGEST}", Kind.MANIFEST, "a/b"),
        (f"/v2/a/b/manifests/{DIGEST.replace(':', '%3A')}", Kind.MANIFEST, "a/b"),
        (f"/v2/a/b/c/d/blobs/{DIGEST}", Kind.BLOB, "a/b/c/d"),
        ("/v2/a/b/blobs/uploads/", Kind.UPLOAD_START, "a/b"),
        ("/v2/a/b/blobs/uploads", Kind.UPLOAD_START, "a/b"),
        ("/v2/a/b/blobs/uploads/x-1", Kind.UPLOAD, "a/b"),
        (f"/v2/a/b/referrers/{DIGEST}", Kind.REFERRERS, "a/b"),
        # words of the grammar are legal parts of names
        ("/v2/a/blobs/uploads/x/manifests/latest", Kind.MANIFEST, "a/blobs/uploads/x"),
        ("/v2/tags/list/tags/list", Kind.TAGS, "tags/list"),
        (f"/v2/manifests/blobs/blobs/{DIGEST}", Kind.BLOB, "manifests/blobs"),
    ],
)
def test_a_path_is_read_from_its_end(path: str, kind: Kind, name: str | None) -> None:
    target = parse_path(path.encode())
    assert (target.kind, None if target.name is None else str(target.name)) == (kind, name)


@pytest.mark.parametrize(
    "path",
    [
        "//v2/", "/v2//a/b/tags/list", "/v2/a/../b/tags/list", "/v2/a%2fb/c/tags/list", "/v2/a/%2e%2e/b/tags/list",
        "/v2/a/b%5c/tags/list", "/v2/a/b/manifests/%252e", "/v2/a/b\\c/tags/list", "/v2/" + "a/" * 600 + "b/tags/list",
        "/v2/a/%ff/tags/list",
    ],
)  # fmt: skip
def test_a_path_that_two_readers_could_differ_on_is_refused(path: str) -> None:
    with pytest.raises(PathInvalidError):
        parse_path(path.encode("latin-1"))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_target_or_a_clear_error(raw: bytes) -> None:
    try:
        target = parse_path(b"/v2/" + raw)
    except LadingError as error:
        assert error.message
        return
    assert target.name is None or ".." not in str(target.name)
