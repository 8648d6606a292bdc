"""How LDAP is asked: DTR's LDAPSettings, to the letter of its JSON keys. Source: DTR reference 1.6.

Passwords go in and never come out; what is kept of them is sealed by whoever keeps the settings.
"""

from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

_TEXT, _CERTIFICATES = 4096, 256 * 1024
_Text = Annotated[str, Field(max_length=_TEXT)]


def _check_url(text: str) -> str:
    if not text:
        return text
    url = urlsplit(text)
    if url.scheme not in {"ldap", "ldaps"} or not url.hostname or url.path not in {"", "/"} or url.query:
        raise ValueError("want ldap://HOST:PORT or ldaps://HOST:PORT")
    return text.rstrip("/")


def _check_certificates(text: str) -> str:
    if text.strip():
        try:
            x509.load_pem_x509_certificates(text.encode())
        except ValueError as error:
            raise ValueError("want certificates in PEM") from error
    return text


_Url = Annotated[_Text, AfterValidator(_check_url)]
_RootCerts = Annotated[str, Field("", alias="rootCerts", max_length=_CERTIFICATES), AfterValidator(_check_certificates)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, validate_default=True)


class MemberSync(_Settings):
    """DTR's MemberSyncOpts: who belongs to a team, to an organization's owners, to the administrators."""

    enable: bool = Field(default=False, alias="enableSync", strict=True)
    select_group: bool = Field(default=True, alias="selectGroupMembers", strict=True)
    group: _Text = Field("", alias="groupDN")
    member_attribute: _Text = Field("member", alias="groupMemberAttr")
    base: _Text = Field("", alias="searchBaseDN")
    subtree: bool = Field(default=False, alias="searchScopeSubtree", strict=True)
    filter: _Text = Field("", alias="searchFilter")

    @property
    def is_on(self) -> bool:
        return self.enable

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.enable and self.select_group and not (self.group and self.member_attribute):
            raise ValueError("groupDN and groupMemberAttr say which group: give both")
        if self.enable and not self.select_group and not self.base:
            raise ValueError("searchBaseDN says where to search: give it")
        return self


class Domain(_Settings):
    """One server, and what lies on it: the DNs that end with `domain`."""

    domain: _Text = ""
    url: _Url = Field("", alias="serverURL")
    reader: _Text = Field("", alias="readerDN")
    password: SecretStr = Field(SecretStr(""), alias="readerPassword", max_length=1024)
    start_tls: bool = Field(default=False, alias="startTLS", strict=True)
    root_certificates: _RootCerts
    skip_verification: bool = Field(default=False, alias="tlsSkipVerify", strict=True)
    no_paging: bool = Field(default=False, alias="noSimplePagination", strict=True)

    @property
    def is_encrypted(self) -> bool:
        return self.start_tls or self.url.startswith("ldaps:")


class UserSearch(_Settings):
    """Where users are, and what they are called."""

    base: _Text = Field("", alias="baseDN")
    subtree: bool = Field(default=True, alias="scopeSubtree", strict=True)
    name_attribute: _Text = Field("uid", alias="usernameAttr", min_length=1)
    full_name_attribute: _Text = Field("cn", alias="fullNameAttr")
    filter: _Text = ""
    match_group: bool = Field(default=False, alias="matchGroup", strict=True)
    group: _Text = Field("", alias="matchGroupDN")
    member_attribute: _Text = Field("member", alias="matchGroupMemberAttr")
    iterate: bool = Field(default=False, alias="matchGroupIterate", strict=True)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.match_group and not self.group:
            raise ValueError("matchGroupDN says which group: give it")
        return self


class LdapSettings(Domain):
    """DTR's LDAPSettings. The default server is the one of the settings themselves."""

    domain: _Text = Field("", exclude=True)
    schedule: _Text = Field("@daily", alias="syncSchedule")
    just_in_time: bool = Field(default=True, alias="jitUserProvisioning", strict=True)
    admins: MemberSync = Field(default_factory=lambda: MemberSync.model_validate({}), alias="adminSyncOpts")
    additional: tuple[Domain, ...] = Field((), alias="additionalDomains", max_length=50)
    searches: tuple[UserSearch, ...] = Field((), alias="userSearchConfigs", max_length=50)
    last_reader: _Text = Field("", alias="lastReaderDN", exclude=True)
    last_password: SecretStr = Field(SecretStr(""), alias="lastReaderPassword", exclude=True)

    @field_validator("additional")
    @classmethod
    def _have_domains(cls, found: tuple[Domain, ...]) -> tuple[Domain, ...]:
        if any(not one.domain or not one.url for one in found):
            raise ValueError("each additional domain has a domain and a serverURL")
        return found

    def shown(self) -> dict[str, Any]:
        """The settings as they are shown: no passwords."""
        document = self.model_dump(mode="json", by_alias=True)
        for part in (document, *document["additionalDomains"]):
            part.pop("readerPassword", None)
        return document


NO_LDAP = LdapSettings.model_validate({})
"""What is known before anything was set."""
