"""The OCI door's table of errors, beside the specification's. Source: OCI distribution spec 1.1, "Error codes"; Docker registry
HTTP API v2 for the statuses and for the codes that OCI left out.
"""

from collections.abc import Iterator

from lading.core.errors import LadingError
from lading.registry import routes

# The specification's list, code-1 to code-14, each with the status that its table of endpoints, or Docker, gives it.
SPECIFIED = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 404,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "SIZE_INVALID": 413,
    "UNAUTHORIZED": 401,
    "DENIED": 403,
    "UNSUPPORTED": 405,
    "TOOMANYREQUESTS": 429,
}
DOCKERS = {"TAG_INVALID": 400, "PAGINATION_NUMBER_INVALID": 400, "UNAVAILABLE": 503}
# Where one code stands for several things, the thing decides; each is tested with the endpoint that says it.
MORE_STATUSES = {
    "ChunkOutOfOrderError": ("BLOB_UPLOAD_INVALID", 416),  # end-5 and end-6
    "StorageFullError": ("DENIED", 507),
    "TagImmutableError": ("DENIED", 409),
    "NotFoundError": ("UNSUPPORTED", 404),
}


def test_the_table_of_statuses_is_the_specifications() -> None:
    assert dict(routes._STATUSES) == SPECIFIED | DOCKERS


def test_what_has_a_status_of_its_own_is_listed_here() -> None:
    found = {kind.__name__: (kind.code, status) for kind, status in routes._STATUSES_BY_TYPE.items()}
    assert found == MORE_STATUSES


def errors(family: type[LadingError] = LadingError) -> Iterator[type[LadingError]]:
    for child in family.__subclasses__():
        yield child
        yield from errors(child)


def test_every_error_of_the_registry_has_a_code_of_the_table() -> None:
    registrys = {kind for kind in errors() if kind.__module__.startswith("lading.registry.")}
    elsewhere = (".dtr_errors", ".garbage")  # told by the REST door and the command line only
    here = {kind for kind in registrys if not kind.__module__.endswith(elsewhere)}
    assert {kind.code for kind in here} <= set(SPECIFIED | DOCKERS)
