"""What the REST doors of accounts take and give. Source: DTR reference 1.3 and 1.6, to the letter of its JSON keys."""

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from lading.accounts.accounts import AccessToken, Account
from lading.accounts.organization_store import Member, StoredTeam
from lading.core.clock import rfc3339
from lading.web.paging import PAGE_LIMIT, Paging

TokenId = Annotated[str, Path(max_length=64)]
Name = Annotated[str, Path(max_length=140)]
AccountFilter = Literal["all", "users", "orgs", "admins", "non-admins", "active-users", "inactive-users"]
MemberFilter = Literal["all", "admins", "non-admins"]
Level = Literal["read-only", "read-write", "admin"]


class Form(BaseModel):
    # Server-owned fields are refused, not ignored: nobody shall think that he set one (CVE-2019-16097).
    model_config = ConfigDict(extra="forbid")


class Narrowing(Form):
    """Repositories, by a pattern such as acme/base-*, and what may be done with them: a level, or permissions by name."""

    repository: str = Field(max_length=355)
    access_level: Level | None = Field(None, alias="accessLevel")
    permissions: list[str] = Field(default=[], max_length=32)


class CreateToken(Form):
    """DTR's form:CreateAPIToken, and what it lacked: a moment of expiry, and narrowing."""

    label: str = Field("", alias="tokenLabel", max_length=255)
    expires_at: str | None = Field(None, alias="expiresAt", max_length=64)
    repositories: list[Narrowing] | None = Field(None, max_length=100, min_length=1)


class UpdateToken(Form):
    """DTR's form:UpdateAPIToken."""

    label: str | None = Field(None, alias="tokenLabel", max_length=255)
    is_active: bool | None = Field(None, alias="isActive", strict=True)


class CreateAccount(Form):
    """DTR's CreateAccount."""

    name: str = Field(max_length=100)
    full_name: str = Field("", alias="fullName", max_length=255)
    is_organization: bool = Field(default=False, alias="isOrg", strict=True)
    is_active: bool = Field(default=True, alias="isActive", strict=True)
    is_admin: bool = Field(default=False, alias="isAdmin", strict=True)
    password: SecretStr | None = Field(None, max_length=1024)
    search_ldap: bool = Field(default=False, alias="searchLDAP", strict=True)


class UpdateAccount(Form):
    """DTR's form of PATCH /accounts/{name}."""

    full_name: str | None = Field(None, alias="fullName", max_length=255)
    is_active: bool | None = Field(None, alias="isActive", strict=True)
    is_admin: bool | None = Field(None, alias="isAdmin", strict=True)


class Operation(Form):
    """One of many changes: `create` (value: CreateAccount), `update` of `ref` (value: UpdateAccount), `delete` of `ref`."""

    op: Literal["create", "update", "delete"]
    ref: str = Field("", max_length=140)
    value: dict[str, Any] = Field(default={})


class Operations(Form):
    """Many changes, each done or refused by itself, in order."""

    operations: list[Operation] = Field(max_length=1000)


class ChangePassword(Form):
    """DTR's form of changePassword; the old one is needed for oneself."""

    old: SecretStr = Field(SecretStr(""), alias="oldPassword", max_length=1024)
    new: SecretStr = Field(alias="newPassword", max_length=1024)


class SetMember(Form):
    """DTR's form of PUT on members; absent leaves it as it is."""

    is_admin: bool | None = Field(None, alias="isAdmin", strict=True)


class CreateTeam(Form):
    """DTR's form of POST on teams."""

    name: str = Field(max_length=100)
    description: str = Field("", max_length=4096)


class UpdateTeam(Form):
    """DTR's form of PATCH on a team."""

    name: str | None = Field(None, max_length=100)
    description: str | None = Field(None, max_length=4096)


class UserSettings(Form):
    """DTR's form:UserSettings."""

    content_cache: str | None = Field(None, alias="contentCacheUUID", max_length=64)


class PutRole(Form):
    """A custom role."""

    description: str = Field("", max_length=1024)
    permissions: list[str] = Field(max_length=32)


class PutGrant(Form):
    """A grant: `resource` is a pattern of repositories; `subject` a user's, robot's or team's name, empty for everyone."""

    resource: str = Field(max_length=355)
    subject_kind: Literal["user", "team", "everyone"] = Field(alias="subjectKind")
    subject: str = Field("", max_length=140)
    role: str = Field(max_length=64)


class CreateRobot(Form):
    """A robot of a namespace, and what it may."""

    name: str = Field(max_length=60)
    repositories: list[Narrowing] = Field(min_length=1, max_length=100)
    expires_at: str | None = Field(None, alias="expiresAt", max_length=64)


def asked_accounts_page(
    start: Annotated[str, Query(max_length=100, description="nextPageStart of the last")] = "",
    limit: Annotated[int, Query(ge=1, description="entries of a page")] = 10,
) -> Paging:
    """How clients of the accounts API ask for a page. Source: DTR reference 1.1."""
    return Paging(min(limit, PAGE_LIMIT), start, count=True)


def account_json(item: Account, counts: tuple[int, int] | None = None) -> dict[str, Any]:
    """DTR's Account; `counts` are an organization's members and teams."""
    told: dict[str, Any] = {"name": item.name, "id": item.id, "fullName": item.full_name, "isOrg": item.is_organization}
    if item.is_organization:
        members, teams = counts or (0, 0)
        return {**told, "membersCount": members, "teamsCount": teams}
    return {
        **told,
        "isActive": item.is_active,
        "isAdmin": item.is_admin,
        "isImported": item.directory is not None,
    }


def token_json(item: AccessToken) -> dict[str, Any]:
    """DTR's APIToken; `expiresAt` is Go's zero time when it never does."""
    return {
        "hashedToken": item.id,
        "tokenLabel": item.label,
        "isActive": item.is_active,
        "lastUsed": rfc3339(item.last_used_at),
        "createdAt": rfc3339(item.created_at),
        "generatedBy": item.generated_by,
        "creatorUa": item.creator_ua,
        "accountID": item.account_id,
        "expiresAt": rfc3339(item.expires_at),
        "isNarrowed": item.narrowing is not None,
    }


def member_json(item: Member) -> dict[str, Any]:
    """DTR's Member."""
    return {"member": account_json(item.account), "isAdmin": item.is_admin, "isImported": item.is_imported}


def team_json(item: StoredTeam) -> dict[str, Any]:
    """DTR's Team."""
    return {
        "orgID": item.organization_id,
        "id": item.id,
        "name": item.name,
        "description": item.description,
        "membersCount": item.members,
    }
