"""Who is asking: what the doors need to know of a credential, by a Protocol that the accounts room fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from lading.access import Principal
from lading.web.exchange import ClientCertificate, Headers

OnRefused = Callable[[Principal, str, str], None]
"""Is told of who asked to change what he may not: the action (a method, or `push`), and on what. No I/O."""


@dataclass(frozen=True, slots=True)
class RegistryToken:
    """A bearer token of the token service whose signature, times, issuer and audience were checked.

    `access` maps repository names to the actions granted (`pull`, `push`, `delete`); a name with no actions was asked for
    and refused. What it grants also needs the account to be active and its epoch unchanged, which the point read tells.
    """

    account_id: str | None  # None: an anonymous caller
    account: str
    epoch: int
    access: Mapping[str, frozenset[str]]
    catalog: bool  # registry:catalog:* was granted
    access_token_id: str | None = None  # the access token that it was fetched with, if one: it must still be good


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """Who a session's cookie proves. `proves_intent` takes the CSRF token that came with a request; `renewed` are headers for
    the answer, when the session lives longer now.
    """

    principal: Principal
    proves_intent: Callable[[str | None], bool]
    renewed: Headers


class Authenticator(Protocol):
    """Turns credentials into callers. Implemented by accounts."""

    async def sign_in(self, name: str, secret: str, *, address: str, user_agent: str = "") -> Principal:
        """The account that proves itself by a password or an access token in its place.

        Errors: UnauthenticatedError, the same and as slow for unknown names; TooManyError after too many failures of this
        account or address.
        """
        ...

    async def sign_in_by_certificate(self, certificate: ClientCertificate) -> Principal | None:
        """Whom the client certificate proves; None while certificates are switched off.

        Errors: UnauthenticatedError, which says why it is not accepted.
        """
        ...

    async def token_of_certificate(self, certificate: ClientCertificate) -> RegistryToken | None:
        """What stands for a bearer token on `/v2` when a client certificate came in its place; else as the former.

        It holds every action; the point read tells, as always, what the account may.
        """
        ...

    def read_token(self, token: str) -> RegistryToken:
        """The registry bearer token spelled by `token`; no database is asked.

        Errors: UnauthenticatedError for anything but a living token of this registry.
        """
        ...

    async def principal_of(self, account_id: str | None, epoch: int) -> Principal:
        """The account as it is now, for callers that have no point read of their own; ANONYMOUS for None.

        Errors: UnauthenticatedError when it is gone, inactive, or was signed out since.
        """
        ...
