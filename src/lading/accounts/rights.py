"""An account's rights about one repository or namespace, as `access.decide` wants them: read fresh, one point read."""

from dataclasses import dataclass, replace

from lading.access import Principal
from lading.accounts.grant_store import GRANTS_ABOUT, parse_grants
from lading.database import Points


@dataclass(frozen=True)
class Rights:
    """Loads grants."""

    points: Points

    async def about(self, principal: Principal, namespace: str, name: str = "") -> Principal:
        """The principal with all grants that it holds about the namespace, and about the repository when `name` is given."""
        # Admins and owners need no grant, so theirs are not looked up; as in the registry's point reads.
        if principal.account_id is None or principal.is_admin or principal.name == namespace:
            return principal
        asked = {"account": principal.account_id, "namespace": namespace, "full_name": f"{namespace}/{name}"}
        row = await self.points.first(GRANTS_ABOUT, **asked)
        return replace(principal, grants=parse_grants(None if row is None else row[0]))
