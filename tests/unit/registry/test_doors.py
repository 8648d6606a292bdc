"""Small rules of the OCI door: Accept, page sizes, statuses."""

import pytest

from lading.registry.errors import PageInvalidError, uploaded_range
from lading.registry.listing import PAGE_LIMIT, page_size
from lading.registry.routes import accepts

OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ([], True),
        (["*/*"], True),
        (["application/*"], True),
        ([OCI], True),
        ([OCI.upper()], True),
        ([f"text/html, {OCI};q=0.5"], True),
        (["text/html", OCI], True),
        (["text/html"], False),
        ([f"{OCI};q=0"], False),
        ([f"{OCI};q=0.0"], False),
        ([""], True),
    ],
)
def test_accept_is_honoured(headers: list[str], taken: bool) -> None:  # noqa: FBT001 — a column of the table
    assert accepts(headers, OCI) is taken


@pytest.mark.parametrize(("text", "size"), [(None, PAGE_LIMIT), ("0", 0), ("7", 7), ("1000000000000", PAGE_LIMIT)])
def test_page_sizes_are_clamped(text: str | None, size: int) -> None:
    assert page_size(text) == size


@pytest.mark.parametrize("text", ["-1", "x", "", "1.5", "1e9", "٣"])
def test_a_page_size_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(PageInvalidError):
        page_size(text)


def test_an_empty_upload_stands_at_zero() -> None:
    assert [uploaded_range(offset) for offset in (0, 1, 10)] == ["0-0", "0-0", "0-9"]
