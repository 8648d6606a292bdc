"""The lines of the authorization table as values, and how one is asked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from attacks.authorization_table import BODIES, TABLE
from attacks.authorization_world import NEW_KEY

ROLES = (
    "anonymous", "stranger", "member", "reader", "writer", "repoadmin", "owner", "admin", "robot", "narrowed",
)  # fmt: skip
_VALUE = re.compile(r"\{(\w+)=([^}]+)\}")
_WORD = re.compile(r"@(\w+)")


@dataclass(frozen=True)
class Line:
    """A line of the table, and what it says."""

    method: str
    path: str
    expected: Mapping[str, str]
    others: str
    public: str

    @property
    def route(self) -> tuple[str, str]:
        """Method and path as OpenAPI names them."""
        return self.method, _VALUE.sub(r"{\1}", self.path.partition("?")[0])

    @property
    def body(self) -> str | None:
        return BODIES.get(" ".join(self.route))

    @property
    def is_read(self) -> bool:
        """True for what changes nothing, whoever asks; a client bundle is a new key."""
        return self.method == "GET" and self.path.partition("?")[0] != "/api/clientbundle"

    @property
    def inner(self) -> list[str]:
        """The things that the path names below another; people are nobody's."""
        return [word for word in _WORD.findall(self.path)[1:] if word not in {"member", "reader"}]

    def path_of(self, words: Mapping[str, str], *, at: str = "") -> str:
        """The path to the things that `words` names; `at` is another path in its place."""
        return _put_in(_VALUE.sub(r"\2", at or self.path), words)

    def text_of(self, words: Mapping[str, str]) -> str:
        """The body about these things, `{}` when there is none."""
        return _put_in(self.body or "{}", {"new_key": NEW_KEY, **words})

    async def ask(
        self,
        client: httpx.AsyncClient,
        words: Mapping[str, str],
        *,
        at: str = "",
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer about these things; `body` is another body in its place."""
        path = self.path_of(words, at=at)
        if self.body is None:
            return await client.request(self.method, path, headers=headers)
        kind = {"Content-Type": "application/json"}
        content = self.text_of(words) if body is None else body
        return await client.request(self.method, path, content=content, headers={**kind, **(headers or {})})


def _put_in(text: str, words: Mapping[str, str]) -> str:
    return _WORD.sub(lambda found: words.get(found[1], found[0]), text)


def _lines_of(table: str) -> list[Line]:
    found, words = [], list[str]()
    for text in table.splitlines():
        if text.startswith("#"):
            continue
        words += text.split()
        if len(words) > 2:  # else the path was so long that what is expected stands on the next line
            method, path, *rest = words
            assert len(rest) == len(ROLES) + 2, f"{method} {path}: {len(rest)} columns"
            found.append(Line(method, path, dict(zip(ROLES, rest[:-2], strict=True)), rest[-2], rest[-1]))
            words = []
    return found


LINES = _lines_of(TABLE)


def outcome(answer: httpx.Response) -> str:
    """`ok`, or the status."""
    return "ok" if answer.is_success else str(answer.status_code)


def told(answer: httpx.Response, words: Mapping[str, str]) -> tuple[int, str]:
    """Status and body, without the request's id and the names that were asked for."""
    text = answer.text
    if text.startswith("{"):
        document = json.loads(text)
        document.pop("requestId", None)
        text = json.dumps(document)
    for word in sorted(words.values(), key=len, reverse=True):
        text = text.replace(word, "…")
    return answer.status_code, text
