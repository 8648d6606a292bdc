"""Who is asking, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """An account, as it is at this request, or nobody.

    `account_id` is None for anonymous callers. An inactive account keeps no right at all. `is_admin` is a system admin.
    """

    account_id: str | None = None
    name: str = ""
    is_admin: bool = False
    is_active: bool = True

    @property
    def is_anonymous(self) -> bool:
        return self.account_id is None


ANONYMOUS = Principal()
