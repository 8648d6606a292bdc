"""What can go wrong with accounts, with DTR's codes. Source: DTR reference 1.1."""

from lading.core.errors import ConflictError, DeniedError, InvalidError, UnauthenticatedError, UnknownError


class WrongCredentialsError(UnauthenticatedError):
    """The same for an unknown name, a wrong secret and an inactive account."""

    def __init__(self) -> None:
        super().__init__("incorrect username or password")


class SessionOverError(UnauthenticatedError):
    """There is no such session (any more)."""

    def __init__(self) -> None:
        super().__init__("the session is over: sign in again")


class AccountUnknownError(UnknownError):
    """No such account."""

    code = "NO_SUCH_ACCOUNT"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no account {name!r}")


class AccountExistsError(ConflictError):
    """The name is taken."""

    code = "ACCOUNT_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is an account {name!r} already")


class TokenUnknownError(UnknownError):
    """No such access token, or somebody else's."""

    code = "NO_SUCH_API_TOKEN"

    def __init__(self) -> None:
        super().__init__("there is no such access token")


class PasswordTooShortError(InvalidError):
    """A password that is guessed too fast."""

    code = "INVALID_PARAMETERS"

    def __init__(self, minimum: int) -> None:
        super().__init__(f"a password needs at least {minimum} characters")


class UserUnknownError(UnknownError):
    """No such user, or not for this caller: the same answer."""

    code = "NO_SUCH_USER"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no user {name!r}")


class LastAdminError(ConflictError):
    """Nobody could administer this installation any more."""

    code = "LAST_ADMIN"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the last active administrator: make another one first")


class PasswordMissingError(InvalidError):
    """A user without a password could not sign in."""

    def __init__(self) -> None:
        super().__init__("a user needs a password")


class TeamUnknownError(UnknownError):
    """No such team, or not for this caller: the same answer."""

    code = "NO_SUCH_TEAM"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no team {name[:100]!r}")


class TeamExistsError(ConflictError):
    """The name is taken in this organization."""

    code = "TEAM_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a team {name!r} already")


class MemberUnknownError(UnknownError):
    """Not a member."""

    code = "NO_SUCH_MEMBER"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name[:100]!r} is not a member")


class NotAnOrganizationError(InvalidError):
    """Only organizations have members and teams."""

    code = "INVALID_PARAMETERS"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not an organization")


class NotAUserError(InvalidError):
    """Only users can be members, or have passwords."""

    code = "INVALID_PARAMETERS"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not a user")


class LastOwnerError(ConflictError):
    """Nobody could manage the organization any more."""

    code = "LAST_OWNER"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the last owner of the organization: make another one first")


class SyncedMemberError(ConflictError):
    """A directory says who is in, and would take it back at its next sync."""

    code = "MEMBER_IS_SYNCED"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is in by a directory's sync: change the group in the directory, or switch the sync off"
        )


class NotAllowedError(DeniedError):
    """The caller sees the thing, and may not do this to it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"you may not {what}")


class OwnsRepositoriesError(ConflictError):
    """Deleting the account alone would leave repositories that nobody owns."""

    code = "ACCOUNT_OWNS_REPOSITORIES"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} owns repositories: delete them first, or account and repositories together with "
            f"DELETE /api/v0/accounts/{name}"
        )


class RoleUnknownError(UnknownError):
    """No such role."""

    code = "NO_SUCH_ROLE"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no role {name[:64]!r}: it is read-only, read-write, admin, or one that was defined here"
        )


class RoleInvalidError(InvalidError):
    """A role that can't be."""

    code = "INVALID_ROLE"


class RoleInUseError(ConflictError):
    """Deleting the role would change who may what without anybody noticing."""

    code = "ROLE_IN_USE"

    def __init__(self, name: str) -> None:
        super().__init__(f"grants still give the role {name}: take them back first")


class GrantUnknownError(UnknownError):
    """No such grant."""

    code = "NO_SUCH_GRANT"

    def __init__(self) -> None:
        super().__init__("there is no such grant")


class PasswordElsewhereError(InvalidError):
    """The account's password is a directory's matter."""

    code = "INVALID_PARAMETERS"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} comes from a directory: the password is changed there")
