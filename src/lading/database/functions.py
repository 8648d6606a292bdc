"""SQL functions that the two databases spell differently."""

from typing import Any

from sqlalchemy import Boolean, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class lines(FunctionElement[str]):  # noqa: N801 — named as functions of SQL are
    """The texts of a group, one a line, in any order; NULL when there are none."""

    type = String()
    inherit_cache = True


@compiles(lines, "sqlite")
def _on_sqlite(element: lines, compiler: SQLCompiler, **options: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **options)}, char(10))"


@compiles(lines, "postgresql")
def _on_postgresql(element: lines, compiler: SQLCompiler, **options: Any) -> str:
    return f"string_agg({compiler.process(element.clauses, **options)}, chr(10))"


class holds_word(FunctionElement[bool]):  # noqa: N801 — named as functions of SQL are
    """Whether the text holds the pattern of `like_pattern`, in whatever case; SQLite knows the cases of ASCII only."""

    type = Boolean()
    inherit_cache = True


class holds(FunctionElement[bool]):  # noqa: N801 — named as functions of SQL are
    """Whether the text, all in lower case, holds the pattern of `like_pattern` of a word in lower case."""

    type = Boolean()
    inherit_cache = True


@compiles(holds, "sqlite")
@compiles(holds_word, "sqlite")
def _holds_on_sqlite(element: holds | holds_word, compiler: SQLCompiler, **options: Any) -> str:
    # Its LIKE does not tell cases apart; lower() would cost more than the rest of the search.
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{text} LIKE {pattern} ESCAPE '\\'"


# The backslash escapes there anyway; PostgreSQL, told so, would rewrite the pattern for every row.


@compiles(holds_word, "postgresql")
def _holds_word_on_postgresql(element: holds_word, compiler: SQLCompiler, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{text} ILIKE {pattern}"


@compiles(holds, "postgresql")
def _holds_on_postgresql(element: holds, compiler: SQLCompiler, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{text} LIKE {pattern}"


def like_pattern(word: str) -> str:
    """The pattern of texts that hold the word somewhere."""
    escaped = word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"
