"""Whether the parts this server stands on answer: storage, authorization, metadata. Source: DTR reference 6.5."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from lading.blobs.store import BlobStore
from lading.core.errors import LadingError, UnavailableError
from lading.database import Database
from lading.database.migrations import current, newest
from lading.keys.token_signing import TokenSigner

log = structlog.get_logger()
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Health:
    """`error` is empty when all is well, else it names the failing part."""

    error: str = ""

    @property
    def is_healthy(self) -> bool:
        return not self.error


@dataclass(frozen=True)
class HealthChecks:
    """Asks each part, all at once, none for longer than five seconds."""

    database: Database
    blobs: BlobStore
    signer: TokenSigner

    async def look(self) -> Health:
        """The state of this server now."""
        parts: Mapping[str, Callable[[], Awaitable[None]]] = {
            "storage": self.blobs.check,
            "authorization": self._authorization,
            "metadata": self._metadata,
        }
        results = await asyncio.gather(*(_ask(name, check) for name, check in parts.items()))
        return Health("; ".join(result for result in results if result))

    async def _authorization(self) -> None:
        if not self.signer.is_ready:
            raise UnavailableError("there is no token-signing key")

    async def _metadata(self) -> None:
        if await current(self.database) != newest():
            raise UnavailableError("the schema is not the one this version needs")


async def _ask(name: str, check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await check()
    except TimeoutError:
        return f"{name}: no answer within {_PATIENCE_SECONDS:.0f} s"
    except LadingError as error:
        return f"{name}: {error.message}"
    except Exception:
        log.exception("health check failed", part=name)
        return f"{name}: failed; see the server's log"
    return ""
