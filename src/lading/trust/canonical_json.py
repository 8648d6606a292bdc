r"""JSON as it is signed, and the careful reading of JSON that strangers sent. Pure.

Rules of the signed form: keys in order of their bytes; no white space; of all characters only `"` and `\` are escaped;
numbers are integers, after a passage through a 64-bit float.
Rules of reading: UTF-8, one value and nothing after it, no key twice in an object, no NaN or infinity, no half of a surrogate
pair, integers within 64 bits, bounded in bytes and in depth.
Source: notary-protocol, part 4.2.
"""

import json
import math
from collections.abc import Callable
from typing import Any, Never, TypeAlias

from lading.core.errors import InvalidError

JSONValue: TypeAlias = "dict[str, JSONValue] | list[JSONValue] | str | int | float | bool | None"

SIZE_LIMIT_BYTES = 64 * 1024 * 1024
"""Of one file: some six times the largest that was seen at work."""

DEPTH_LIMIT = 64
"""Objects and lists within one another; metadata needs eight, the rest is for what users add to a target."""

_INTEGER_DIGITS = 20  # characters of the longest 64-bit integer, its sign included
_INTEGER_LIMIT = 2**63


class JSONInvalidError(InvalidError):
    """Not JSON that can be read here, or not a value that has a signed form."""

    code = "MALFORMED_JSON"


def parse(data: bytes, *, size_limit_bytes: int = SIZE_LIMIT_BYTES) -> JSONValue:
    """The value that `data` spells.

    Shape: a number with a point or an exponent is a float, any other an int, so that 1 and 1.0 stay apart.
    Errors: JSONInvalidError.
    """
    if len(data) > size_limit_bytes:
        raise JSONInvalidError(f"a JSON document has at most {size_limit_bytes} bytes here, this one has {len(data)}")
    try:
        value: JSONValue = json.loads(
            data.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise JSONInvalidError(f"not JSON: {error}") from error
    _check(value, DEPTH_LIMIT)
    return value


def encode(value: JSONValue) -> bytes:
    """The signed form of `value`. Errors: JSONInvalidError for a number that is not integral, and for too much depth."""
    pieces: list[str] = []
    _write(value, pieces.append, DEPTH_LIMIT)
    try:
        return "".join(pieces).encode()
    except UnicodeEncodeError as error:
        raise JSONInvalidError("json: half of a surrogate pair in a string") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JSONInvalidError("not JSON: a key stands twice in an object")
    return found


def _integer(text: str) -> int:
    if len(text) > _INTEGER_DIGITS or not -_INTEGER_LIMIT <= (number := int(text)) < _INTEGER_LIMIT:
        raise JSONInvalidError("not JSON: an integer of more than 64 bits")
    return number


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise JSONInvalidError("not JSON: a number too large")
    return number


def _no_constant(text: str) -> Never:
    raise JSONInvalidError(f"not JSON: {text}")


def _check(value: JSONValue, room: int) -> None:
    match value:
        case str():
            if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
                raise JSONInvalidError("not JSON: half of a surrogate pair in a string")
        case dict() | list():
            if room == 0:
                raise JSONInvalidError(f"a JSON document is at most {DEPTH_LIMIT} deep here")
            for item in value:
                _check(item, room - 1)
            if isinstance(value, dict):
                for item in value.values():
                    _check(item, room - 1)


def _write(value: JSONValue, put: Callable[[str], None], room: int) -> None:
    match value:
        case None:
            put("null")
        case bool():
            put("true" if value else "false")
        case str():
            put(_quoted(value))
        case int() | float():
            put(_number(value))
        case dict() | list():
            if room == 0:
                raise JSONInvalidError(f"json: unsupported value: more than {DEPTH_LIMIT} deep")
            _write_all(value, put, room - 1)


def _write_all(value: dict[str, JSONValue] | list[JSONValue], put: Callable[[str], None], room: int) -> None:
    if isinstance(value, list):
        put("[")
        for place, item in enumerate(value):
            put("," if place else "")
            _write(item, put, room)
        put("]")
        return
    put("{")
    for place, key in enumerate(sorted(value)):  # by code points, which is the order of their UTF-8 bytes
        put(f"{',' if place else ''}{_quoted(key)}:")
        _write(value[key], put, room)
    put("}")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _number(value: float) -> str:
    try:
        passed = float(value)
    except OverflowError as error:
        raise JSONInvalidError("json: unsupported value: an integer too large") from error
    if not passed.is_integer():
        raise JSONInvalidError(f"json: unsupported value: {passed!r}")
    return str(int(passed))
