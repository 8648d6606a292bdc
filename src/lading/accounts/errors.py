"""What can go wrong with accounts, with DTR's codes. Source: DTR reference 1.1."""

from lading.core.errors import ConflictError, InvalidError, UnauthenticatedError, UnknownError


class WrongCredentialsError(UnauthenticatedError):
    """The same for an unknown name, a wrong secret and an inactive account."""

    def __init__(self) -> None:
        super().__init__("incorrect username or password")


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
