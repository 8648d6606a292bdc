"""The doors of the REST API. FastAPI takes long to import, so only those import this who open them."""

from lading import __version__
from lading.access import ANONYMOUS, Principal
from lading.accounts import api as accounts_api
from lading.accounts import grants_api, keys_api, ldap_api, oidc_api, organizations_api, sessions_api, tokens_api
from lading.accounts.account_access import AccountAccess
from lading.accounts.account_deletion import AccountDeletion
from lading.accounts.account_names import AccountNames
from lading.accounts.client_bundles import ClientBundles
from lading.accounts.granting import Granting
from lading.accounts.organizations import Organizations
from lading.accounts.public_keys import PublicKeys
from lading.accounts.robots import Robots
from lading.app.boot import make_certificates
from lading.app.parts import Parts
from lading.app.work import ACTIONS
from lading.cluster import api as cluster_api
from lading.events import api as events_api
from lading.events.feed import Feed
from lading.jobs import api as jobs_api
from lading.jobs.configs import ActionConfigs
from lading.jobs.queue import Queue
from lading.jobs.schedules import Schedules
from lading.jobs.workers import Workers
from lading.registry import access_api, search_api
from lading.registry import api as registry_api
from lading.registry.event_sight import RepositoryEvents
from lading.registry.owned import OwnedRepositories
from lading.registry.repositories import Repositories
from lading.registry.tags import RepositoryTags
from lading.web.api import make_api
from lading.web.exchange import Door


def make_rest(parts: Parts, *, everyone: Principal = ANONYMOUS) -> Door:
    """The REST doors. `everyone` is who those without credentials are."""
    boot = parts.boot
    repositories = Repositories(parts.database, parts.clock, parts.switches)
    tags = RepositoryTags(parts.database, repositories, parts.blobs, parts.clock)
    access = AccountAccess(parts.database)
    organizations = Organizations(parts.database, parts.clock)
    granting = Granting(parts.database, parts.clock)
    robots = Robots(parts.database, parts.clock, parts.access_tokens)
    deletion = AccountDeletion(parts.database, parts.clock, [OwnedRepositories(parts.switches)])
    keys = PublicKeys(parts.database, parts.clock)
    certificates = make_certificates(boot.settings, parts.folder, parts.database, parts.secrets)
    bundles = ClientBundles(parts.client_authority, keys, parts.clock, boot.service, certificates.authority_pem)
    site = cluster_api.Site(boot.service, boot.port, boot.replica, __version__, parts.folder.tls / "certificate.pem")
    jobs = jobs_api.JobUseCases(
        Queue(parts.database, parts.clock),
        Schedules(parts.database, parts.clock),
        ActionConfigs(parts.database, parts.clock),
        Workers(parts.database, parts.clock),
        ACTIONS,
    )
    feed = Feed(parts.database, RepositoryEvents(repositories), AccountNames(parts.database))
    routers = (
        registry_api.router(repositories, tags),
        accounts_api.router(parts.users, organizations, access, deletion, parts.directory, parts.sign_in),
        tokens_api.router(access, parts.access_tokens),
        keys_api.router(access, keys, bundles),
        organizations_api.router(parts.users, organizations, access),
        grants_api.router(granting, robots, parts.users, access),
        oidc_api.router(parts.oidc),
        sessions_api.router(parts.sessions.settings, parts.users, __version__),
        access_api.router(repositories, granting, access),
        search_api.router(repositories, parts.users),
        ldap_api.router(parts.directory.settings, Schedules(parts.database, parts.clock), access, parts.clock),
        cluster_api.router(parts.database, parts.live, parts.replicas, parts.clock, site),
        jobs_api.router(jobs),
        events_api.router(feed),
    )
    refused = parts.refusals.refused
    return make_api(routers, parts.authenticator, version=__version__, everyone=everyone, refused=refused)
