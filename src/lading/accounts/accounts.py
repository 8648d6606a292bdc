"""Accounts and access tokens as values."""

from dataclasses import dataclass
from datetime import datetime

from lading.access import Principal


@dataclass(frozen=True, slots=True)
class Account:
    """A user (or, later, an organization), as the database has it now."""

    id: str
    name: str
    full_name: str
    is_organization: bool
    is_admin: bool
    is_active: bool
    password_hash: str | None
    epoch: int
    created_at: datetime

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
