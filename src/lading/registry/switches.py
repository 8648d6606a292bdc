"""What an administrator may switch while the server runs, as the registry sees it at one moment."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Switches:
    """The site settings that concern the registry."""

    read_only: bool = False
    deletes: bool = True
    create_repository_on_push: bool = False
    anonymous_access: bool = True
    sparse_images: bool = True


CurrentSwitches = Callable[[], Switches]
"""Gives the switches as they are now; no I/O."""
