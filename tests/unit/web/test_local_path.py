"""Where browsers are sent after they signed in."""

import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.web.local_path import local_path

_HERE = "https://registry.test:5443/login"
_PIECES = st.sampled_from(
    ["/", "\\", "//", ":", "@", "?", "#", "\t", "\n", " ", ".", "..", "evil.example", "https", "%2f", "é"]
)


def as_browsers_read(text: str) -> str:
    """The address that a browser goes to. Source: WHATWG URL: tabs and line ends go, backslashes are slashes."""
    cleaned = re.sub(r"[\t\r\n]", "", text.strip("\x00\x01\x1f ")).replace("\\", "/")
    return urljoin(_HERE, re.sub(r"^/{2,}", "//", cleaned))


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join), st.lists(_PIECES).map(lambda some: "/" + "".join(some))))
@example("/\\evil.example")
@example("///evil.example")
@example("/\t/evil.example")
def test_it_never_leads_elsewhere(text: str) -> None:
    place = urlsplit(as_browsers_read(local_path(text)))
    assert (place.scheme, place.netloc) == ("https", "registry.test:5443")
    assert local_path(text).isascii()
    assert local_path(local_path(text)) == local_path(text)


@pytest.mark.parametrize("text", ["/", "/repositories", "/a/b?c=d&e=%2F#f", "/http://x"])
def test_local_places_stay(text: str) -> None:
    assert local_path(text) == text


@pytest.mark.parametrize("text", [None, "", "x", "//x", "https://x", "/" + "x" * 2048])
def test_all_else_is_the_front_page(text: str | None) -> None:
    assert local_path(text) == "/"
