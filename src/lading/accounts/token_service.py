"""The token service: scopes asked for become a bearer token that holds only what is granted.

A token is always answered. Each repository asked for appears in it, refused ones without actions, so that the registry can
tell "not asked for" (fetch another token) from "refused". Source: Docker registry token authentication specification.
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from lading.access import ANONYMOUS, Permission, Principal, Repository, System, Visibility, decide
from lading.accounts.accounts import Proof
from lading.accounts.directory_sign_in import BEARER_LIFETIME
from lading.accounts.rights import Rights
from lading.accounts.scopes import ACTIONS, CHANGES, RepositoryScope, Scopes
from lading.core.clock import Clock
from lading.core.names import RepositoryName
from lading.keys.token_signing import TokenSigner
from lading.web.principal import OnRefused

_BY_CERTIFICATE = timedelta(seconds=60)
"""A token does not tell which key it was fetched with, so it ends soon after that may have been revoked. Clients take tokens
of less for tokens of so much."""


class Repositories(Protocol):
    """What this room asks of the registry, above it."""

    async def visibility_of(self, names: Collection[RepositoryName]) -> Mapping[RepositoryName, Visibility]:
        """The visibility of those that exist, in one query."""
        ...


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A bearer token, and for how long it is good."""

    token: str
    lifetime: timedelta
    issued_at: datetime


@dataclass(frozen=True)
class TokenService:
    """Issues bearer tokens for one service, which is their issuer and their audience."""

    repositories: Repositories
    rights: Rights
    signer: TokenSigner
    clock: Clock
    service: str
    lifetime: timedelta
    refused: OnRefused  # with a token that lacks what was asked for, a client comes no further

    async def issue(self, proof: Proof | None, scopes: Scopes, *, anonymous_access: bool) -> IssuedToken:
        """A token for who signed in (None: anonymous) with as much of `scopes` as is granted.

        One fetched with an access token needs that to stay good, and does not outlive it.
        """
        principal = proof.principal if proof is not None else ANONYMOUS
        names = {scope.name for scope in scopes.repositories}
        visible = await self.repositories.visibility_of(names) if names else {}
        access: list[dict[str, Any]] = []
        for scope in scopes.repositories:
            holder = await self.rights.about(principal, scope.name.namespace, scope.name.name)
            granted = _granted(holder, scope, visible.get(scope.name), anonymous_access=anonymous_access)
            missing = [action for action in _wanted(scope) if action not in granted and action in CHANGES]
            if missing and not principal.is_anonymous:
                self.refused(principal, ",".join(missing), f"repository:{scope.name}")
            # Under the name as asked, for clients that look; and under the plain one, which the registry looks for.
            access += [
                {"type": "repository", "name": name, "actions": granted}
                for name in dict.fromkeys((scope.name.text, scope.asked_name))
            ]
        if scopes.catalog and decide(principal, Permission.LIST_CATALOG, System()):
            access.append({"type": "registry", "name": "catalog", "actions": ["*"]})
        now, lifetime, via = self.clock.now(), self.lifetime, proof.token if proof is not None else None
        if proof is not None and proof.is_certificate:
            lifetime = min(lifetime, _BY_CERTIFICATE)
        if proof is not None and proof.account.directory is not None:
            lifetime = min(lifetime, BEARER_LIFETIME)
        if via is not None and via.expires_at is not None:
            lifetime = min(lifetime, via.expires_at - now)
        issued = int(now.timestamp())
        claims = {
            "iss": self.service,
            "sub": principal.name,
            "aud": self.service,
            "exp": issued + int(lifetime.total_seconds()),
            "nbf": issued,
            "iat": issued,
            "jti": secrets.token_hex(8),
            "account": principal.account_id,
            "epoch": proof.account.epoch if proof is not None else 0,
            "via": via.id if via is not None else None,
            "access": _merged(access),
        }
        return IssuedToken(self.signer.sign(claims), lifetime, now)


def _granted(
    principal: Principal, scope: RepositoryScope, visibility: Visibility | None, *, anonymous_access: bool
) -> list[str]:
    resource = Repository(scope.name.namespace, scope.name.name, visibility)
    granted = [
        action
        for action in _wanted(scope)
        if decide(principal, ACTIONS[action], resource, anonymous_access=anonymous_access)
    ]
    return [*granted, "*"] if "*" in scope.actions and len(granted) == len(ACTIONS) else granted


def _wanted(scope: RepositoryScope) -> Collection[str]:
    return ACTIONS if "*" in scope.actions else [action for action in scope.actions if action in ACTIONS]


def _merged(access: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per name: a repository may have been asked for several times."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for item in access:
        known = merged.setdefault((item["type"], item["name"]), {**item, "actions": []})
        known["actions"] += [action for action in item["actions"] if action not in known["actions"]]
    return list(merged.values())
