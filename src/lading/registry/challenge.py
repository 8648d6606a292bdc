"""What a bearer token lets its holder do on `/v2`, and the challenge that tells a client which token to fetch.

No token, a wrong one, and one without the scope are all 401 with a challenge, the same whether the repository exists or not;
404 is for holders of the scope. Source: Docker registry token authentication specification; RFC 6750.
"""

from collections.abc import Callable, Mapping

from lading.access import Principal, Refused, decide
from lading.accounts.scopes import ACTIONS, CHANGES
from lading.core.errors import UnauthenticatedError
from lading.core.names import RepositoryName
from lading.registry.points import Asked, Asker
from lading.web.principal import RegistryToken

_NOBODY = Asker()


class ChallengeError(UnauthenticatedError):
    """401: fetch a token of this scope and come back. `refusal` tells why what came in a token's place is not taken.

    `refused` is who asked to change what he may not, the action, and on what; None where a better token may help.
    """

    refused: tuple[Principal, str, str] | None = None

    def __init__(self, challenge: str, *, insufficient: bool, refusal: str = "") -> None:
        usual = "this needs a token with more rights" if insufficient else "authentication is required"
        super().__init__(refusal or usual)
        self._challenge = challenge

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": self._challenge}


class Challenges:
    """Makes challenges. `realm_of` gives the token service's URL for a request's origin; `service` names us."""

    def __init__(self, realm_of: Callable[[str], str], service: str) -> None:
        self._realm_of = realm_of
        self._service = service

    def make(self, origin: str, scope: str, *, error: str = "", refusal: str = "") -> ChallengeError:
        """The error that challenges for `scope`; `error` is RFC 6750's word for what was wrong with the token given."""
        parts = [f'Bearer realm="{self._realm_of(origin)}"', f'service="{self._service}"']
        if scope:
            parts.append(f'scope="{scope}"')
        if error:
            parts.append(f'error="{error}"')
        return ChallengeError(",".join(parts), insufficient=error == "insufficient_scope", refusal=refusal)


class Caller:
    """One request's token, asked about repositories. `token` is None when none was sent.

    `refusal` tells why the client certificate that came in a token's place is not accepted; empty when none came.
    """

    __slots__ = ("_anonymous_access", "_challenges", "_origin", "refusal", "token")

    def __init__(
        self,
        token: RegistryToken | None,
        origin: str,
        challenges: Challenges,
        *,
        anonymous_access: bool,
        refusal: str = "",
    ) -> None:
        self.token = token
        self.refusal = refusal
        self._origin = origin
        self._challenges = challenges
        self._anonymous_access = anonymous_access

    @property
    def account_id(self) -> str | None:
        return self.token.account_id if self.token is not None else None

    @property
    def asker(self) -> Asker:
        return _NOBODY if self.token is None else Asker(self.token.account_id, self.token.access_token_id)

    def require(self, name: RepositoryName, actions: str, also: str = "") -> None:
        """The token holds the (last) action on the repository; asked before any database. Errors: ChallengeError.

        Shape: `actions` as a scope lists them, such as `pull` or `pull,push`; all are needed. `also` adds another scope.
        """
        if self.token is None:
            raise self._challenge(name, actions, also)
        granted = self.token.access.get(name.text, frozenset())
        for action in actions.split(","):
            if action not in granted:
                raise self._challenge(name, actions, also, error="insufficient_scope")

    def knows(self, name: RepositoryName) -> bool:
        """The token was asked for with this repository in mind, whatever was granted."""
        return self.token is not None and name.text in self.token.access

    def holds(self, name: RepositoryName, action: str) -> bool:
        return self.token is not None and action in self.token.access.get(name.text, frozenset())

    def check(self, asked: Asked, actions: str) -> None:
        """What the token grants still holds: the account is active, was not signed out, and may. Errors: ChallengeError."""
        token = self.token
        if token is None or asked.principal is None or asked.epoch != token.epoch:
            raise self._challenge(asked.name, actions, error="invalid_token")
        for action in actions.split(","):
            decision = decide(asked.principal, ACTIONS[action], asked.resource, anonymous_access=self._anonymous_access)
            if isinstance(decision, Refused):
                error = self._challenge(asked.name, actions, error="insufficient_scope")
                if action in CHANGES:
                    error.refused = asked.principal, action, f"repository:{asked.name}"
                raise error

    def challenge(self, name: RepositoryName, actions: str, also: str = "") -> ChallengeError:
        return self._challenge(name, actions, also, error="insufficient_scope")

    def challenge_catalog(self) -> ChallengeError:
        error = "insufficient_scope" if self.token is not None else ""
        return self._challenges.make(self._origin, "registry:catalog:*", error=error, refusal=self.refusal)

    def _challenge(self, name: RepositoryName, actions: str, also: str = "", *, error: str = "") -> ChallengeError:
        scope = f"repository:{name}:{actions}" + (f" {also}" if also else "")
        return self._challenges.make(self._origin, scope, error=error, refusal=self.refusal)
