"""Fixtures of the attacks. Those that need a server of their own say why."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from attacks.authorization_world import World, make_world
from attacks.scenes import Hidden, add_people, hide
from support.servers import Server


@pytest.fixture(scope="session")
def hidden_by_edge() -> dict[str, Hidden]:
    """What was hidden already, so that it is pushed once."""
    return {}


@pytest.fixture
def hidden(server: Server, hidden_by_edge: dict[str, Hidden]) -> Hidden:
    """Alice's private repository, shared by all tests that leave it whole; bob has an account, too."""
    if server.edge not in hidden_by_edge:
        add_people(server)
        hidden_by_edge[server.edge] = hide(server)
    return hidden_by_edge[server.edge]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two organizations and every role, in process; a test leaves it as it was (`World.undo`)."""
    async with make_world(tmp_path_factory.mktemp("world"), sqlite_template) as made:
        yield made
