"""Work done later: a queue in the database, schedules, and the worker that claims and runs. Handlers are safe to run twice."""
