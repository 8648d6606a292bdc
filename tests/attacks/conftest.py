"""Fixtures of the attacks. Those that need a server of their own say why."""

import pytest

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
