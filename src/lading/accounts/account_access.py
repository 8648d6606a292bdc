"""Who sees which account, and who may change it: facts looked up, then asked of `access.decide`.

An account is seen by itself, by system administrators, and by those who share an organization with it; an organization by its
members; a robot by those who manage its namespace. Everyone else gets the answer for an account that nobody has.
"""

from dataclasses import dataclass

from lading.access import Namespace, Permission, Principal, System, Team, decide
from lading.accounts import organization_store, store
from lading.accounts.accounts import Account
from lading.accounts.errors import AccountUnknownError, NotAllowedError, NotAnOrganizationError, TeamUnknownError
from lading.accounts.organization_store import Standing, StoredTeam
from lading.accounts.rights import Rights
from lading.core.errors import DeniedError
from lading.database import Database


@dataclass(frozen=True)
class AccountAccess:
    """Finds accounts and teams for callers. Names may be ids, too, also as `id:…`."""

    database: Database

    async def find(self, name: str) -> Account | None:
        """The account, whoever asks: for callers who may know of it already."""
        async with self.database.read() as connection:
            return await store.find_account_or_id(connection, name)

    async def view(self, who: Principal, name: str) -> Account:
        """The account, when the caller may see it. Errors: AccountUnknownError."""
        account, holder, resource = await self._look_up(who, name)
        if account is not None and decide(holder, Permission.VIEW_NAMESPACE, resource):
            return account
        are_together = await self._are_together(who, account)
        if account is None or account.robot_of is not None or account.is_organization or not are_together:
            raise AccountUnknownError(name)
        return account

    async def manage(self, who: Principal, name: str) -> Account:
        """The account, which the caller may change. Errors: AccountUnknownError; NotAllowedError when he only sees it."""
        account, holder, resource = await self._look_up(who, name)
        if account is not None and decide(holder, Permission.MANAGE_ACCOUNT, resource):
            return account
        seen = await self.view(who, name)
        raise NotAllowedError(f"change {seen.name}")

    async def organization(
        self, who: Principal, name: str, permission: Permission = Permission.VIEW_NAMESPACE
    ) -> Account:
        """The organization, on which the caller has the permission. Errors: as `manage`; NotAnOrganizationError."""
        account, holder, resource = await self._look_up(who, name)
        if account is None or not decide(holder, Permission.VIEW_NAMESPACE, resource):
            raise AccountUnknownError(name)
        if not account.is_organization:
            raise NotAnOrganizationError(account.name)
        if not decide(holder, permission, resource):
            raise NotAllowedError(f"change {account.name}")
        return account

    async def team(
        self, who: Principal, organization: str, name: str, permission: Permission = Permission.VIEW_TEAM
    ) -> tuple[Account, StoredTeam]:
        """Organization and team, on which the caller has the permission.

        Errors: AccountUnknownError, TeamUnknownError, NotAnOrganizationError; NotAllowedError when he only sees it.
        """
        account = await self.organization(who, organization)
        holder = await Rights(self.database.points).about(who, account.name)
        async with self.database.read() as connection:
            team = await organization_store.find_team(connection, account.id, name)
            standing = Standing()
            if team is not None and who.account_id is not None:
                standing = await organization_store.standing(connection, who.account_id, account.id, team.id)
        if team is None:
            raise TeamUnknownError(name)
        # Members of the organization see its teams. Source: DTR reference 1.6, "list: member".
        resource = Team(account.name, is_member=standing.is_member, is_admin=standing.is_team_admin)
        if not decide(holder, Permission.VIEW_TEAM, resource):
            raise TeamUnknownError(name)
        if not decide(holder, permission, resource):
            raise NotAllowedError(f"change the team {account.name}/{team.name}")
        return account, team

    async def _look_up(self, who: Principal, name: str) -> tuple[Account | None, Principal, Namespace]:
        """The account, the caller with his grants about its namespace, and that namespace, with what he is in it.

        As much is asked about names that nobody has, so that they take as long as those that the caller may not see.
        """
        async with self.database.read() as connection:
            account = await store.find_account_or_id(connection, name)
            owner = account
            if account is not None and account.robot_of is not None:
                owner = await store.find_account_by_id(connection, account.robot_of)
            standing = Standing()
            if who.account_id is not None and (owner is None or owner.id != who.account_id):
                standing = await organization_store.standing(
                    connection, who.account_id, "" if owner is None else owner.id
                )
        namespace = name if owner is None else owner.name
        holder = await Rights(self.database.points).about(who, namespace)
        return account if owner is not None else None, holder, Namespace(namespace, is_member=standing.is_member)

    async def _are_together(self, who: Principal, account: Account | None) -> bool:
        if who.account_id is None or not who.is_active or who.narrowing is not None:
            return False
        async with self.database.read() as connection:
            other = "" if account is None else account.id
            return await organization_store.share_an_organization(connection, who.account_id, other)


def is_admin(who: Principal) -> bool:
    """True for system administrators."""
    return bool(decide(who, Permission.ADMINISTER, System()))


def check_admin(who: Principal) -> None:
    """Errors: DeniedError for all but system administrators."""
    if not is_admin(who):
        raise DeniedError("only an administrator may")
