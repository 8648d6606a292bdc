"""What an administrator should look at now: DTR's banners. Pure. Source: DTR reference 6.5."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lading.cluster.replicas import Replica

_SOON = timedelta(days=14)
_HEALTHY = "OK"


@dataclass(frozen=True, slots=True)
class Alert:
    """One banner. `level` is warning or error; `url` is where more is told, empty for nowhere."""

    id: str
    level: str
    message: str
    url: str = ""


def plan_alerts(
    replicas: Sequence[Replica], *, read_only: bool, certificate_ends_at: datetime | None, now: datetime
) -> list[Alert]:
    """The banners of this moment, the worst first; none when all is well."""
    found = []
    unhealthy = [item for item in replicas if item.health != _HEALTHY]
    if unhealthy:
        names = ", ".join(item.id for item in unhealthy)
        reasons = "; ".join(dict.fromkeys(item.health for item in unhealthy))
        healthy = [item.id for item in replicas if item.health == _HEALTHY]
        message = f"The following replicas are unhealthy: {names}; reasons: {reasons}"
        if healthy:
            message += f"; replicas {', '.join(healthy)} are still healthy"
        found.append(Alert("unhealthy-replicas", "error", message, "/api/v0/meta/cluster_status"))
    if certificate_ends_at is not None and certificate_ends_at - now < _SOON:
        word = "ended" if certificate_ends_at <= now else "ends"
        message = (
            f"The server's certificate {word} at {certificate_ends_at:%Y-%m-%d %H:%M} UTC: lading certificate show"
        )
        found.append(Alert("certificate-ends", "error" if certificate_ends_at <= now else "warning", message))
    if read_only:
        message = "The registry is in read-only mode: pulls work, pushes and deletions are refused"
        found.append(Alert("read-only", "warning", message, "/api/v0/meta/settings"))
    return found
