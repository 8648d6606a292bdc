"""What every process of a running server begins with, app workers and the job worker."""

import os
from pathlib import Path

from lading import logs
from lading.app.boot import Boot
from lading.edge.lifeline import die_with_parent


def begin() -> Boot:
    """The boot of this run, which `lading serve` wrote into the file that LADING_BOOT names; called first."""
    die_with_parent()
    boot = Boot.read(Path(os.environ["LADING_BOOT"]))
    logs.configure(boot.settings.log.level, boot.settings.log.format)
    return boot
