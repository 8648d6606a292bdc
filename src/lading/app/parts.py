"""The use cases of one process, composed."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from lading.accounts.access_tokens import AccessTokens
from lading.accounts.authenticator import AccountAuthenticator
from lading.accounts.certificate_sign_in import CertificateSignIn
from lading.accounts.directory_settings import DirectorySettings
from lading.accounts.directory_sign_in import DirectorySignIn
from lading.accounts.oidc_providers import OidcProviders
from lading.accounts.passwords import Passwords
from lading.accounts.sessions import Sessions, SessionSettings
from lading.accounts.sign_in import SignIn
from lading.accounts.sign_in_log import SignInLog
from lading.accounts.throttle import Throttle
from lading.accounts.users import Users
from lading.app.boot import (
    Boot,
    certificate_rules,
    load_master_key,
    make_client_authority,
    make_live_settings,
    make_passwords,
)
from lading.blobs.backends.filesystem import FilesystemBlobs
from lading.blobs.staging import Staging
from lading.cluster.health import HealthChecks
from lading.cluster.replicas import Replicas
from lading.cluster.site import LiveSettings
from lading.core.clock import SystemClock
from lading.core.folders import DataFolder
from lading.database import Database
from lading.events.refusals import RefusalLog
from lading.keys.client_authority import ClientAuthority
from lading.keys.store import SecretStore
from lading.keys.token_signing import TokenSigner
from lading.registry.garbage import Garbage
from lading.registry.points import RegistryPoints
from lading.registry.switches import Switches
from lading.registry.verification import Verification


@dataclass(frozen=True)
class Parts:
    """The use cases of one process, composed: what doors, jobs and the command line call."""

    boot: Boot
    folder: DataFolder
    clock: SystemClock
    database: Database
    secrets: SecretStore
    passwords: Passwords
    signer: TokenSigner
    sign_in: SignIn
    directory: DirectorySignIn
    certificate_sign_in: CertificateSignIn
    client_authority: ClientAuthority
    users: Users
    access_tokens: AccessTokens
    authenticator: AccountAuthenticator
    sessions: Sessions
    oidc: OidcProviders
    blobs: FilesystemBlobs
    staging: Staging
    points: RegistryPoints
    garbage: Garbage
    verification: Verification
    health: HealthChecks
    live: LiveSettings
    replicas: Replicas
    sign_in_log: SignInLog
    refusals: RefusalLog

    def switches(self) -> Switches:
        """The registry's switches as they are now."""
        now = self.live.current
        return Switches(
            read_only=now.read_only,
            deletes=now.deletes,
            create_repository_on_push=now.create_repository_on_push,
            anonymous_access=now.anonymous_access,
            sparse_images=self.boot.settings.registry.sparse_images,
        )


@asynccontextmanager
async def open_parts(boot: Boot) -> AsyncIterator[Parts]:
    """All use cases over an open database, whose schema must be there already."""
    settings = boot.settings
    folder, clock = DataFolder(settings.data), SystemClock()
    secrets = SecretStore(load_master_key(folder, may_create=False))
    database = await Database.open(settings.database_url, pool_size=settings.database.pool_size)
    try:
        signer = await TokenSigner.load(database, secrets)
        passwords = make_passwords(settings)
        directory_settings = DirectorySettings(database, clock, secrets)
        directory = DirectorySignIn(database, clock, directory_settings, remember=settings.passwords.remember_directory)
        sign_in_log = SignInLog(database, clock)
        sign_in = SignIn(database, passwords, Throttle(), clock, sign_in_log, directory)
        certificate_sign_in = CertificateSignIn(database.points, clock, lambda: certificate_rules(live, settings))
        sessions = Sessions(
            database,
            clock,
            SessionSettings(database, clock),
            directory.check_still_there,
            lambda: not live.current.session_cookies_only,
        )
        blobs, staging = FilesystemBlobs(folder.blobs, folder.quarantine), Staging(folder.uploads)
        live = make_live_settings(database, clock, settings)
        await live.refresh()
        health = HealthChecks(database, blobs, signer)
        yield Parts(
            boot=boot,
            folder=folder,
            clock=clock,
            database=database,
            secrets=secrets,
            passwords=passwords,
            signer=signer,
            sign_in=sign_in,
            directory=directory,
            certificate_sign_in=certificate_sign_in,
            client_authority=make_client_authority(settings, database, secrets, clock),
            users=Users(database, passwords, clock, settings.passwords.minimum_length),
            access_tokens=AccessTokens(database, clock),
            authenticator=AccountAuthenticator(
                database, sign_in, certificate_sign_in, signer, clock, sessions=sessions, service=boot.service
            ),
            sessions=sessions,
            oidc=OidcProviders(database, clock, secrets),
            blobs=blobs,
            staging=staging,
            points=RegistryPoints(database.points),
            garbage=Garbage(
                database,
                blobs,
                staging,
                clock,
                holder=f"{boot.replica}-{os.getpid()}",
                grace=timedelta(hours=settings.garbage.grace_hours),
                upload_lifetime=timedelta(hours=settings.registry.upload_lifetime_hours),
                untagged_manifests=settings.garbage.untagged_manifests,
            ),
            verification=Verification(database, blobs, clock),
            health=health,
            live=live,
            replicas=Replicas(database, health, clock, boot.replica, lambda: live.current.read_only),
            sign_in_log=sign_in_log,
            refusals=RefusalLog(database, clock),
        )
    finally:
        await database.close()
