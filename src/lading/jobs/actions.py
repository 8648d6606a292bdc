"""The actions that an installation can do: their names, and the parameters that each understands."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lading.jobs.jobs import PARAMETERS_LIMIT, JobInvalidError

_TOLD = 30


@dataclass(frozen=True, slots=True)
class Action:
    """What one action does, in a few words, and what each of its parameters means."""

    summary: str
    parameters: Mapping[str, str] = field(default_factory=dict)


class ActionUnknownError(JobInvalidError):
    """This installation has no such action."""

    def __init__(self, action: str, known: Mapping[str, Action]) -> None:
        names = ", ".join(sorted(known)[:_TOLD])
        super().__init__(f"there is no action {action[:64]!r}: want one of {names or 'none'}")


class ParameterUnknownError(JobInvalidError):
    """The action has no such parameter."""

    def __init__(self, action: str, parameter: str, known: Mapping[str, str]) -> None:
        names = ", ".join(sorted(known)[:_TOLD])
        wanted = f"it has {names}" if names else "it has none"
        super().__init__(f"the action {action} has no parameter {parameter[:64]!r}: {wanted}")


def check_action(known: Mapping[str, Action], action: str, parameters: Mapping[str, str]) -> None:
    """Returns when the action is known, and has those parameters.

    Errors: ActionUnknownError, ParameterUnknownError; JobInvalidError when the parameters are too long.
    """
    if action not in known:
        raise ActionUnknownError(action, known)
    for name in parameters:
        if name not in known[action].parameters:
            raise ParameterUnknownError(action, name, known[action].parameters)
    if sum(map(len, parameters.values())) > PARAMETERS_LIMIT:
        raise JobInvalidError(f"the parameters are longer than {PARAMETERS_LIMIT} characters")
