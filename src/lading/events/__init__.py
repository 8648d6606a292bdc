"""What happened: the audit log and the outbox. An event is a row in the same transaction as what it tells of."""
