"""Where a call came from: the request that is being answered, for what is written down of it.

The servers' fronts set it for each request; nothing passes it on by hand. Work that no request began has no origin.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from lading.web.exchange import Request

ADDRESS_LIMIT = 64
AGENT_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Origin:
    """The client's address and what it calls itself; both empty when no request began the work."""

    address: str = ""
    user_agent: str = ""

    @classmethod
    def of(cls, request: Request) -> "Origin":
        """The origin of a request, in characters that every log and database keeps."""
        return cls.from_texts(request.client, request.header("user-agent") or "")

    @classmethod
    def from_texts(cls, address: str, user_agent: str) -> "Origin":
        """The origin that the texts tell, cut to what the log keeps."""
        return cls(_printable(address, ADDRESS_LIMIT), _printable(user_agent, AGENT_LIMIT))


NOWHERE = Origin()
# The request itself, so that the many that write nothing down cost no more than this.
_request: ContextVar[Request | None] = ContextVar("request", default=None)


@contextmanager
def answering(request: Request) -> Iterator[None]:
    """Within the block, `current_origin` is the request's."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def begin_answering(request: Request) -> None:
    """As `answering`, for a task that answers this one request and then ends."""
    _request.set(request)


def current_origin() -> Origin:
    """The origin of the request that is being answered here."""
    request = _request.get()
    return NOWHERE if request is None else Origin.of(request)


def _printable(text: str, limit: int) -> str:
    text = text[:limit]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
