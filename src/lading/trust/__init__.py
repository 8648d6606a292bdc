"""Who signed what: Notary v1 (TUF) metadata, its values and rules."""
