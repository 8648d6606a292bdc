"""Fixtures by what they give; each stands in tests/support."""

import gc

import pytest

gc.disable()  # until all is collected: what is imported stays, and looking for garbage in it takes a third of the time

# One after those that it imports, or pytest could not rewrite their assertions.
pytest_plugins = ["support.databases", "support.registries", "support.servers", "support.apps", "support.openid"]

ON_BOTH = {"test_accounts_api.py", "test_organizations_api.py", "test_repositories_api.py", "test_directory_sync.py"}
"""Files whose every test asks the database something that no contract of tests/contracts asks of both kinds."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An app of its own on PostgreSQL, for each test, is left to `make test-long` where the contracts cover both databases."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        on_postgresql = callspec is not None and callspec.params.get("database_kind") == "postgresql"
        if on_postgresql and "doors" in getattr(item, "fixturenames", ()) and item.path.name not in ON_BOTH:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """What was collected stays, too: the collector need not look at it again while tests run."""
    gc.freeze()
    gc.enable()
