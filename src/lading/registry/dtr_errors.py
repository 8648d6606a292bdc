"""What can go wrong at the REST doors of repositories and tags, with DTR's codes. Source: DTR reference 1.2."""

from lading.core.errors import DeniedError, InvalidError, UnknownError
from lading.core.names import RepositoryName


class RepositoryUnknownError(UnknownError):
    """No such repository, or not for this caller: the same answer."""

    code = "NO_SUCH_REPOSITORY"

    def __init__(self, name: RepositoryName) -> None:
        super().__init__(f"there is no repository {name}")


class NamespaceUnknownError(UnknownError):
    """No such namespace, or nothing in it for this caller: the same answer."""

    code = "NO_SUCH_ACCOUNT"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no account {name!r}")


class RepositoryExistsError(InvalidError):
    """The name is taken."""

    code = "REPOSITORY_EXISTS"

    def __init__(self, name: RepositoryName) -> None:
        super().__init__(f"there is a repository {name} already")


class VisibilityInvalidError(InvalidError):
    """Neither public nor private."""

    code = "INVALID_REPOSITORY_VISIBILITY"

    def __init__(self, text: str) -> None:
        super().__init__(f"visibility is {text[:40]!r}, want 'public' or 'private'")


class TagUnknownError(UnknownError):
    """The repository has no such tag."""

    code = "NO_SUCH_TAG"

    def __init__(self, name: RepositoryName, tag: str) -> None:
        super().__init__(f"the repository {name} has no tag {tag}")


class ReferenceUnknownError(UnknownError):
    """The repository has no such tag or manifest."""

    code = "NO_SUCH_REF"

    def __init__(self, name: RepositoryName, reference: str) -> None:
        super().__init__(f"the repository {name} has no tag or manifest {reference}")


class NotYoursError(DeniedError):
    """The caller sees it, and may not do that to it."""

    code = "NOT_AUTHORIZED"

    def __init__(self, what: str) -> None:
        super().__init__(f"you may not {what}")


class NamespaceAccessUnknownError(UnknownError):
    """The team has no level on the whole namespace."""

    code = "NO_SUCH_NAMESPACE_TEAM_ACCESS"

    def __init__(self, namespace: str, team: str) -> None:
        super().__init__(f"the team {team} has no access to all of {namespace}")
