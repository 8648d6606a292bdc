"""Repositories and what is in them: blobs, uploads, manifests, tags, referrers; and collecting what nobody needs."""
