"""Fixtures by what they give; each stands in tests/support."""

pytest_plugins = ["support.apps", "support.databases", "support.registries", "support.servers"]
