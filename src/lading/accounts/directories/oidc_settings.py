"""How an OpenID provider is asked: one of them, and what its claims mean here.

The client's secret goes in and never comes out; what is kept of it is sealed by whoever keeps the settings.
"""

import re
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from lading.core.errors import InvalidError

_TEXT, _CERTIFICATES, _SCOPES = 1024, 256 * 1024, 32
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
_SCOPE = re.compile(r"[!#-\[\]-~]{1,100}", re.ASCII)  # Source: RFC 6749, 3.3
_DOMAIN = re.compile(r"[a-z0-9.-]*", re.ASCII)
_Text = Annotated[str, Field(max_length=_TEXT)]


def _check_issuer(text: str) -> str:
    url = urlsplit(text)
    is_plain = all("!" <= character <= "~" for character in text)
    if (
        not is_plain
        or url.scheme != "https"
        or not url.hostname
        or url.query
        or url.fragment
        or url.username is not None
    ):
        raise ValueError("want https://HOST/…, to the letter as the provider writes it")
    return text


def _check_certificates(text: str) -> str:
    if text.strip():
        try:
            x509.load_pem_x509_certificates(text.encode())
        except ValueError as error:
            raise ValueError("want certificates in PEM") from error
    return text


def _check_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if any(_SCOPE.fullmatch(scope) is None for scope in scopes):
        raise ValueError("a scope is printable ASCII without spaces, quotes and backslashes")
    return scopes if "openid" in scopes else ("openid", *scopes)


def _check_domain(text: str) -> str:
    if _DOMAIN.fullmatch(text) is None:
        raise ValueError("want a domain in lower case, such as example.com")
    return text


class OidcSettings(BaseModel):
    """One provider. `groups_claim` empty: groups are left alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, validate_default=True)

    title: Annotated[str, Field(max_length=100)] = ""  # what the button says
    issuer: Annotated[_Text, AfterValidator(_check_issuer)]
    client_id: Annotated[str, Field(alias="clientID", min_length=1, max_length=_TEXT)]
    client_secret: SecretStr = Field(SecretStr(""), alias="clientSecret", max_length=_TEXT)  # none: a public client
    scopes: Annotated[tuple[str, ...], Field(max_length=_SCOPES), AfterValidator(_check_scopes)] = (
        "openid",
        "profile",
        "email",
    )
    username_claim: Annotated[str, Field(alias="usernameClaim", min_length=1, max_length=100)] = "preferred_username"
    username_domain: Annotated[str, Field(alias="usernameDomain", max_length=255), AfterValidator(_check_domain)] = ""
    full_name_claim: Annotated[str, Field(alias="fullNameClaim", max_length=100)] = "name"
    groups_claim: Annotated[str, Field(alias="groupsClaim", max_length=100)] = "groups"
    admin_group: Annotated[str, Field(alias="adminGroup", max_length=255)] = ""  # whose members are administrators
    root_certificates: Annotated[
        str, Field(alias="rootCerts", max_length=_CERTIFICATES), AfterValidator(_check_certificates)
    ] = ""
    allow_private: bool = Field(default=False, alias="allowPrivateAddresses", strict=True)  # of the issuer's host
    creates_users: bool = Field(default=True, alias="userCreation", strict=True)  # at their first sign-in

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.admin_group and not self.groups_claim:
            raise ValueError("adminGroup needs groupsClaim")
        return self

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """The hosts that may have private addresses."""
        host = urlsplit(self.issuer).hostname
        return frozenset([host.lower()]) if self.allow_private and host else frozenset()

    def shown(self) -> dict[str, Any]:
        """The settings as the API shows them: without the secret."""
        return {**self.model_dump(mode="json", by_alias=True, exclude={"client_secret"}), "clientSecret": ""}


def check_provider_name(name: str) -> str:
    """`name`, when a provider can be called so. Errors: InvalidError."""
    if _NAME.fullmatch(name) is None:
        raise InvalidError(
            f"{name[:32]!r} can't be a provider's name: want up to 32 lower-case letters, digits and dashes"
        )
    return name


def is_linked(link: str, provider: str, groups: Collection[str], providers: Iterable[str]) -> bool:
    """True when the team that is linked to the group `link` takes the provider's users that are in `groups`.

    A link `NAME:GROUP` means that provider's group only, when there is a provider of that name; so no other one can put its
    users there. Any other text is a group of every provider.
    """
    name, colon, group = link.partition(":")
    if colon and name in providers:
        return name == provider and group in groups
    return link in groups
