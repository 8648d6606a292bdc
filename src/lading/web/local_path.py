"""Where a browser is sent after it signed in: only ever a place on this server."""

from urllib.parse import urlsplit

_LIMIT = 2048
HOME = "/"


def local_path(text: str | None) -> str:
    r"""`text`, when every browser takes it for a path on the server it came from; else the front page.

    Shape: printable ASCII that begins with one slash. Browsers read a backslash as a slash, and drop tabs and line ends, so
    that `/\evil.example` and `/<tab>/evil.example` lead elsewhere. Source: WHATWG URL, "URL parsing".
    """
    if text is None or len(text) > _LIMIT or not text.startswith("/") or text.startswith("//"):
        return HOME
    if not all("!" <= character <= "~" and character != "\\" for character in text):
        return HOME
    try:
        parts = urlsplit(text)
    except ValueError:
        return HOME
    return text if not parts.scheme and not parts.netloc else HOME
