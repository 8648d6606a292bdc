"""Banners for administrators."""

from datetime import UTC, datetime, timedelta

from lading.cluster.alerts import plan_alerts
from lading.cluster.replicas import Replica

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WELL, ILL = Replica("aa", NOW, "OK", is_readonly=False), Replica("bb", NOW, "storage: no room", is_readonly=False)


def test_there_is_nothing_to_say_when_all_is_well() -> None:
    assert plan_alerts([WELL], read_only=False, certificate_ends_at=NOW + timedelta(days=90), now=NOW) == []
    assert plan_alerts([WELL], read_only=False, certificate_ends_at=None, now=NOW) == []


def test_an_unhealthy_replica_is_named_with_its_reason_and_those_that_are_well() -> None:
    [alert] = plan_alerts([WELL, ILL], read_only=False, certificate_ends_at=None, now=NOW)
    assert alert.level == "error"
    assert all(word in alert.message for word in ("bb", "storage: no room", "aa are still healthy"))


def test_a_certificate_that_ends_soon_and_read_only_mode_are_told() -> None:
    soon = plan_alerts([WELL], read_only=True, certificate_ends_at=NOW + timedelta(days=3), now=NOW)
    assert [(alert.id, alert.level) for alert in soon] == [("certificate-ends", "warning"), ("read-only", "warning")]
    [over] = plan_alerts([WELL], read_only=False, certificate_ends_at=NOW, now=NOW)
    assert (over.level, "ended" in over.message) == ("error", True)
