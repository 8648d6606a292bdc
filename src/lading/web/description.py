"""The description of the REST doors: FastAPI's, with what it can't know of the door that stands before its routing.

- Every refusal has one form, `Errors`; which statuses an operation may answer follows from what it takes.
- 422 is 400 here.
- Who may ask: anybody where the endpoint takes a `Caller`, else those who are signed in, by any of the ways below.
"""

from collections.abc import Mapping
from typing import Any

from lading.web.cookies import CSRF_COOKIE, SESSION_COOKIE

_JSON = "application/json"
_WRITES = frozenset({"post", "put", "patch", "delete"})
_FORMER = frozenset({"HTTPValidationError", "ValidationError"})

TEXT = """\
The API of Lading, as Docker Trusted Registry had it: `/api/v0` for repositories and the registry, `/enzi/v0` for accounts.

- A repository whose name has slashes is one path segment: `team/app` in the namespace `acme` is
  `/api/v0/repositories/acme/team%2Fapp`.
- Pages: `X-Next-Page-Start` tells where the next page begins, and is absent on the last; ask with `pageStart` (under
  `/enzi/v0`: `start`).
- What you may not see is answered as what does not exist.
- GET also answers HEAD.
"""

ERRORS: Mapping[str, Any] = {
    "type": "object",
    "description": "What every refusal says",
    "required": ["errors", "requestId"],
    "properties": {
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$", "examples": ["NO_SUCH_REPOSITORY"]},
                    "message": {"type": "string"},
                    "detail": {"description": "more, for programs"},
                },
                "additionalProperties": False,
            },
        },
        "requestId": {"type": "string", "description": "the server's log tells more under it"},
    },
    "additionalProperties": False,
}

_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "how to sign in"}}
_WAIT = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "seconds"}}
REFUSALS: Mapping[int, tuple[str, str, Mapping[str, Any]]] = {
    400: ("BadRequest", "What was sent is not what it should be", {}),
    401: ("NotAuthenticated", "Not signed in, or not by these credentials", _CHALLENGE),
    403: ("NotAuthorized", "You may see it, and may not do that", {}),
    404: ("NotFound", "It does not exist, or you may not see it: the same answer", {}),
    405: ("NotAllowed", "This can't be done to it, or not now", {}),
    409: ("Conflict", "It is in a state that forbids it", {}),
    413: ("TooLarge", "The body is too large", {}),
    415: ("UnsupportedMediaType", "Send application/json", {}),
    429: ("TooManyRequests", "Too many failures to sign in: wait", _WAIT),
    500: ("InternalError", "Something went wrong here", {}),
    503: ("Unavailable", "Something that is needed does not answer: try again", {}),
}
"""Name, sentence and headers of each refusal."""

_ALWAYS = frozenset({400, 401, 403, 404, 405, 429, 500, 503})
_OF_WRITES = frozenset({409, 413, 415})
_PAGES = {
    "X-Next-Page-Start": {
        "schema": {"type": "string"},
        "description": "where the next page begins; absent on the last",
    },
    "X-Resource-Count": {"schema": {"type": "integer", "minimum": 0}, "description": "how many there are, when asked"},
}

SECURITY: Mapping[str, Mapping[str, str]] = {
    "password": {"type": "http", "scheme": "basic", "description": "a name with its password or an access token"},
    "accessToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "an access token, or the secret that POST /auth/login gave",
    },
    "refreshToken": {
        "type": "apiKey",
        "in": "query",
        "name": "refresh_token",
        "description": "an access token, for clients that can send no header: addresses end up in logs",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "a browser that signed in by POST /login; changes need the header X-Csrf-Token, too: what the cookie "
        f"{CSRF_COOKIE} holds",
    },
    "clientCertificate": {"type": "mutualTLS", "description": "the certificate of a client bundle"},
}
"""The ways to sign in, any of which will do."""


def complete(document: dict[str, Any], public: frozenset[tuple[str, str]]) -> dict[str, Any]:
    """FastAPI's description, completed in place. `public` are the methods and paths that anybody may ask."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _FORMER:
        schemas.pop(name, None)
    schemas["Errors"] = ERRORS
    components["responses"] = {
        name: {
            "description": text,
            **({"headers": headers} if headers else {}),
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Errors"}}},
        }
        for name, text, headers in REFUSALS.values()
    }
    components["securitySchemes"] = SECURITY
    signed_in: list[dict[str, list[str]]] = [{name: []} for name in SECURITY]
    document["security"] = signed_in
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            _add_refusals(method, operation)
            _add_page_headers(operation)
            if (method.upper(), path) in public:
                operation["security"] = [{}, *signed_in]
    return document


def _add_refusals(method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    for status in sorted(_ALWAYS | _OF_WRITES if method in _WRITES else _ALWAYS):
        answers.setdefault(str(status), {"$ref": f"#/components/responses/{REFUSALS[status][0]}"})


def _add_page_headers(operation: dict[str, Any]) -> None:
    if {"pageStart", "start"} & {item["name"] for item in operation.get("parameters", ())}:
        operation["responses"]["200"]["headers"] = _PAGES
