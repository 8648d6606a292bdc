"""The events. Their ids are in the order they were committed (nearly: two at once may swap), their moments are when they
happened: what is told in batches, such as pulls, is committed a few seconds later.
"""

from sqlalchemy import Column, Index, String, Table

from lading.database import Moment, metadata
from lading.database.schema import BigId

events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("published_at", Moment, nullable=False),
    Column("type", String(32), nullable=False),  # DTR: CREATE, GET, UPDATE, DELETE, SEND, FAIL; ours: SIGN_IN, …
    Column("actor_type", String(16), nullable=False),  # account, job, system, anonymous
    Column("actor", String(128), nullable=False),
    Column("repository", String(255), nullable=False, server_default=""),
    Column("object_type", String(32), nullable=False),  # DTR: REPOSITORY, TAG, BLOB, MANIFEST, …
    Column("object_id", String(255), nullable=False),
    Column("object_name", String(255), nullable=False, server_default=""),
    Column("content", String, nullable=False, server_default=""),
    Column("address", String(64), nullable=False, server_default=""),  # where the request came from
    Column("user_agent", String(255), nullable=False, server_default=""),
    Column("outcome", String(16), nullable=False, server_default="done"),  # done, refused, failed
    # Each filter is a stretch of one of these, in the order of the lists.
    Index("ix_events_published_at", "published_at", "id"),
    Index("ix_events_repository", "repository", "published_at", "id"),
    Index("ix_events_actor", "actor", "published_at", "id"),
    Index("ix_events_object_type", "object_type", "published_at", "id"),
    Index("ix_events_type", "type", "published_at", "id"),
    sqlite_autoincrement=True,
)
