"""Replicas, health, status, site settings, backup and restore."""
