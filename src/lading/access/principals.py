"""Who is asking, as a value."""

from dataclasses import dataclass

from lading.access.grants import Grant


@dataclass(frozen=True, slots=True)
class Principal:
    """An account, as it is at this request, or nobody.

    `account_id` is None for anonymous callers. An inactive account keeps no right at all. `is_admin` is a system admin.
    `grants` are those it holds by itself, its teams and the organizations it owns: all that speak of what is asked about.
    `narrowing` is what the access token it came with was narrowed to; None when it was not.
    """

    account_id: str | None = None
    name: str = ""
    is_admin: bool = False
    is_active: bool = True
    grants: tuple[Grant, ...] = ()
    narrowing: tuple[Grant, ...] | None = None

    @property
    def is_anonymous(self) -> bool:
        return self.account_id is None


ANONYMOUS = Principal()
