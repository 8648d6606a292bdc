"""The tables of every room."""

from lading.accounts import tables as accounts_tables
from lading.cluster import tables as cluster_tables
from lading.events import tables as events_tables
from lading.jobs import tables as jobs_tables
from lading.keys import tables as keys_tables
from lading.registry import tables as registry_tables

ROOM_TABLES = (accounts_tables, cluster_tables, events_tables, jobs_tables, keys_tables, registry_tables)
