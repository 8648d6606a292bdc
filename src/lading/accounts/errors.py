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
