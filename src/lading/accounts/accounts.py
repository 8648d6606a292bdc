"""Accounts and access tokens as values."""

from dataclasses import dataclass, replace
from datetime import datetime

from lading.access import Principal
from lading.accounts.grant_store import parse_grants


@dataclass(frozen=True, slots=True)
class Account:
    """A user, an organization or a robot, as the database has it now."""

    id: str
    name: str
    full_name: str
    is_organization: bool
    is_admin: bool
    is_active: bool
    password_hash: str | None
    epoch: int
    created_at: datetime
    robot_of: str | None = None  # the id of the account whose namespace's robot it is
    directory: str | None = None  # where it comes from: ldap, oidc:NAME; None: from here
    directory_id: str | None = None

    @property
    def principal(self) -> Principal:
        return Principal(self.id, self.name, is_admin=self.is_admin, is_active=self.is_active)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A secret in a password's place. `id` is DTR's hashedToken: SHA-256 of the secret, in hex."""

    id: str
    account_id: str
    label: str
    is_active: bool
    generated_by: str  # "auto" when docker login made it, else "user"
    creator_ua: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None = None
    narrowing: str | None = None  # as grant_store.parse_grants reads it; None: all that the account may


@dataclass(frozen=True, slots=True)
class Proof:
    """Who signed in, and the access token or the client certificate that it was done with, if one."""

    account: Account
    token: AccessToken | None = None
    is_certificate: bool = False

    @property
    def principal(self) -> Principal:
        if self.token is None or self.token.narrowing is None:
            return self.account.principal
        return replace(self.account.principal, narrowing=parse_grants(self.token.narrowing))
