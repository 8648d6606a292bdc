"""Content by digest: staging, and backends that keep it."""
