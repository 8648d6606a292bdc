"""Secrets at rest, certificates, token signing. Only the master key is a file; all else is rows encrypted by it."""
