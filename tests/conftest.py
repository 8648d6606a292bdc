"""Fixtures by what they give; each stands in tests/support."""

# One after those that it imports, or pytest could not rewrite their assertions.
pytest_plugins = ["support.databases", "support.registries", "support.servers", "support.apps", "support.openid"]
