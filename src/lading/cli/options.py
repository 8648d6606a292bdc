"""The options that all commands on the REST API have: which installation they work on, and as whom."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Concatenate, ParamSpec

from lading.cli.remote import Authority, LocalData, Target, Url, Username

_Own = ParamSpec("_Own")
_OPTIONS = {"url": Url, "ca": Authority, "username": Username, "data": LocalData}


def on_target(command: Callable[Concatenate[Target, _Own], None]) -> Callable[..., None]:
    """The command with --url, --ca, --username and --data after its own; it gets what they name as its first parameter.

    Typer reads a command's options from its signature: so the signature is made of both.
    """

    @wraps(command)
    def with_options(*, url: Any, ca: Any, username: Any, data: Any, **own: Any) -> None:
        command(Target(url, ca, username, data), **own)  # type: ignore[call-arg]  # by name, as Typer calls it

    _, *own = signature(command).parameters.values()
    usual = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in _OPTIONS.items()]
    whole = signature(command).replace(parameters=[*own, *usual])
    with_options.__signature__ = whole  # type: ignore[attr-defined]  # what inspect.signature looks for first
    with_options.__annotations__ = {one.name: one.annotation for one in whole.parameters.values()}
    return with_options
