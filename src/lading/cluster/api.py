"""Settings, features and state in `/api/v0/meta`, and the version. Source: DTR reference 1.2, 1.3, 3.1 and 6.5."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body

from lading.access import Permission, Principal, System, decide
from lading.cluster.alerts import plan_alerts
from lading.cluster.replicas import Replicas
from lading.cluster.site import KEYS, LiveSettings, SettingInvalidError, Value, parse_value, plain_value
from lading.core.clock import Clock, rfc3339
from lading.core.errors import DeniedError
from lading.database import Database
from lading.database.locks import find_holder
from lading.events.log import Actor
from lading.keys.server_certificate import certificate_end
from lading.registry.garbage import LOCK
from lading.web.api import SignedIn

_FIXED: Mapping[str, object] = {
    "anonymizeAnalytics": False,
    "disableBackupWarning": False,
    "disableUpgrades": False,
    "reportAnalytics": False,
    "scanningDeadline": 0,
    "scanningEnableAutoRecheck": False,
    "scanningEnabled": False,
    "scanningSyncOnline": False,
    "sso": False,
    "webTLSCA": "",
    "webTLSCert": "",
    "webTLSKey": "",
}
"""What DTR lets one set and this server does not do: may be sent with this value only."""

_SECRET = {"webTLSKey"}
_READ_ONLY: Mapping[str, object] = {
    "httpProxy": "",
    "httpsProxy": "",
    "noProxy": "",
    "logProtocol": "",
    "logHost": "",
    "logLevel": "",
    "storageVolume": "",
    "nfsHost": "",
    "nfsPath": "",
}


@dataclass(frozen=True, slots=True)
class Site:
    """What the answers tell of this installation. `host` is as clients name it, with its port."""

    host: str
    port: int
    replica: str
    version: str
    certificate: Path  # that the server shows; PEM


def router(database: Database, live: LiveSettings, replicas: Replicas, clock: Clock, site: Site) -> APIRouter:
    """The endpoints of settings and state."""
    routes = APIRouter(prefix="/api/v0", tags=["meta"])

    @routes.get("/meta/settings", summary="The settings")
    async def read_settings(who: SignedIn) -> dict[str, Any]:
        _check_admin(who)
        await live.refresh()
        return _settings(live, site)

    @routes.post("/meta/settings", status_code=202, summary="Change those settings that are sent")
    async def change_settings(who: SignedIn, form: Annotated[dict[str, Any], Body(max_length=64)]) -> dict[str, Any]:
        _check_admin(who)
        await live.change(_changes(form, site), Actor.account(who.account_id))
        return _settings(live, site)

    @routes.get("/meta/features", summary="What this registry can do")
    async def features(who: SignedIn) -> dict[str, Any]:  # noqa: ARG001 — any user may
        return {
            "scanningEnabled": False,
            "scanningLicensed": True,
            "promotionLicensed": True,
            "mirroringLicensed": True,
            "metadataStoreOptedIn": True,
            "onlineGCEnabled": True,
            "db_version": 0,
            "ucpHost": site.host,
        }

    @routes.get("/meta/alerts", summary="What an administrator should look at now")
    async def alerts(who: SignedIn) -> list[dict[str, Any]]:
        _check_admin(who)
        ends_at = await asyncio.to_thread(certificate_end, site.certificate)
        found = plan_alerts(
            await replicas.list(), read_only=live.current.read_only, certificate_ends_at=ends_at, now=clock.now()
        )
        return [{"id": one.id, "class": one.level, "message": one.message, "url": one.url} for one in found]

    @routes.get("/meta/cluster_status", summary="The replicas and how they are")
    async def cluster_status(who: SignedIn) -> dict[str, Any]:
        _check_admin(who)
        known = await replicas.list()
        async with database.read() as connection:
            holder = await find_holder(connection, LOCK, clock.now())
        return {
            "rethink_system_tables": {
                "cluster_config": [],
                "current_issues": [],
                "db_config": [],
                "server_status": [
                    {"id": item.id, "name": item.id, "network": {}, "process": {"version": site.version}}
                    for item in known
                ],
                "stats": [],
                "table_config": [],
                "table_status": [],
            },
            "replica_health": {item.id: item.health for item in known},
            "replica_timestamp": {item.id: rfc3339(item.heartbeat_at) for item in known},
            "replica_readonly": {item.id: item.is_readonly for item in known},
            "gc_lock_holder": holder or "",
        }

    @routes.get("/admin/version", summary="The version")
    async def version(who: SignedIn) -> dict[str, str]:  # noqa: ARG001 — any user may
        return {"version": site.version}

    return routes


def _check_admin(who: Principal) -> None:
    if not decide(who, Permission.ADMINISTER, System()):
        raise DeniedError("only an administrator may")


def _settings(live: LiveSettings, site: Site) -> dict[str, Any]:
    switches = {key: plain_value(getattr(live.current, field)) for key, field in KEYS.items()}
    fixed = {key: value for key, value in _FIXED.items() if key not in _SECRET}
    here = {"HTTPPort": 0, "HTTPSPort": site.port, "node": site.host.partition(":")[0]}
    own = {"dtrHost": site.host, "replicaID": site.replica, "replicaSettings": {site.replica: here}}
    return {**fixed, **_READ_ONLY, **own, **switches}


def _changes(form: Mapping[str, Any], site: Site) -> dict[str, Value]:
    """What the form changes. Errors: SettingInvalidError for all that can't be what it is to be."""
    changes = {}
    for key, value in form.items():
        if key in KEYS:
            changes[key] = parse_value(key, value)
        elif key == "dtrHost":
            if value != site.host:
                raise SettingInvalidError(
                    f"dtrHost is {site.host}: it is set by server.external_url in the settings file"
                )
        elif key not in _FIXED:
            raise SettingInvalidError(f"there is no setting {key[:80]!r} that can be changed here")
        elif value != _FIXED[key]:
            raise SettingInvalidError(f"this registry can't have {key} other than {_FIXED[key]!r}")
    return changes
