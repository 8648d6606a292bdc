"""What the REST doors say of errors: one table of statuses and words. Source: DTR reference 1.1.

Shape: `{"errors": [{"code", "message", "detail"?}], "requestId"}`.
"""

from collections.abc import Mapping

import msgspec

from lading.core.errors import Kind, LadingError
from lading.web.exchange import Answer, Headers

TABLE: Mapping[Kind, tuple[int, str]] = {
    Kind.INVALID: (400, "INVALID_PARAMETERS"),
    Kind.UNAUTHENTICATED: (401, "NOT_AUTHENTICATED"),
    Kind.DENIED: (403, "NOT_AUTHORIZED"),
    Kind.UNKNOWN: (404, "NOT_FOUND"),
    Kind.UNSUPPORTED: (405, "NOT_ALLOWED"),
    Kind.CONFLICT: (409, "CONFLICT"),
    Kind.TOO_LARGE: (413, "TOO_LARGE"),
    Kind.TOO_MANY: (429, "TOO_MANY_REQUESTS"),
    Kind.UNAVAILABLE: (503, "UNAVAILABLE"),
}
INTERNAL: tuple[int, str, str] = (
    500,
    "INTERNAL_ERROR",
    "something went wrong here; its log tells under this request id",
)

# The family's own words, and OCI's, say less than the kind, or otherwise.
_GENERIC = frozenset(
    {"INVALID", "UNAUTHORIZED", "DENIED", "UNKNOWN", "CONFLICT", "SIZE_INVALID", "UNSUPPORTED", "UNAVAILABLE"}
)
_RENAMED: Mapping[str, str] = {
    "DIGEST_INVALID": "INVALID_DIGEST",
    "TAG_INVALID": "INVALID_TAG_NAME",
    "TOOMANYREQUESTS": "TOO_MANY_REQUESTS",
}
_HEADERS: Headers = [("content-type", "application/json")]


def refusal(error: LadingError, request_id: str) -> Answer:
    """The answer that an error becomes."""
    status, word = TABLE[error.kind]
    code = word if error.code in _GENERIC else _RENAMED.get(error.code, error.code)
    headers = [(name.lower(), value) for name, value in error.headers.items()]
    if error.kind is Kind.UNAUTHENTICATED:
        headers = [*headers, ("www-authenticate", 'Basic realm="Lading"')]
    return error_answer(status, code, error.message, request_id, detail=error.detail, headers=headers)


def error_answer(
    status: int, code: str, message: str, request_id: str, *, detail: object = None, headers: Headers | None = None
) -> Answer:
    """An answer of the REST doors' one form."""
    item: dict[str, object] = {"code": code, "message": message}
    if detail is not None:
        item["detail"] = detail
    body = msgspec.json.encode({"errors": [item], "requestId": request_id})
    return Answer(status, [*_HEADERS, *(headers or [])], body)
