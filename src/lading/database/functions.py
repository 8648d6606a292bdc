"""SQL functions that the two databases spell differently."""

from typing import Any

from sqlalchemy import String
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
