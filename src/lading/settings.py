"""Boot settings: one tree, defaults beside the fields, units in the names.

Sources, the later winning: the defaults here, `lading.toml`, `LADING_…` variables (`LADING_REGISTRY__READ_ONLY=true`), the
command line. Unknown keys are refused, in the file and in the environment. What may change while the server runs is a site
setting (cluster/site.py) whose default comes from here; a value given here by file or environment pins it.
"""

import os
import socket
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, ValidationError, field_validator

from lading.core.errors import SettingsError

Network = IPv4Network | IPv6Network
_PREFIX = "LADING_"
_OTHER_VARIABLES = {
    "LADING_ADMIN_PASSWORD",
    "LADING_ADMIN_PASSWORD_FILE",
    "LADING_APT",
    "LADING_CONFIG",
    "LADING_MASTER_KEY_FILE",
    "LADING_TOKEN",
    "LADING_TOKEN_FILE",
    "LADING_URL",
}
_TEST_PREFIX = "LADING_TEST_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _no_path(url: HttpUrl) -> HttpUrl:
    if url.path not in (None, "", "/") or url.query or url.fragment:
        raise ValueError("want only scheme, host and port, such as https://registry.example.com")
    return url


class ServerSettings(_Section):
    """Where and how it listens."""

    # A registry is there to be reached; [::] listens on IPv6 too.
    host: Annotated[str, AfterValidator(lambda host: host.strip("[]"))] = "0.0.0.0"  # noqa: S104
    port: int = Field(default=5443, ge=0, le=65535)  # 0 picks a free one
    edge: Literal["auto", "nginx", "none"] = "auto"
    external_url: Annotated[HttpUrl, AfterValidator(_no_path)] | None = None  # as clients name it
    names: list[str] = []  # more host names and addresses for the certificate and the token realm
    http_redirect_port: int = Field(default=0, ge=0, le=65535)  # 0: none
    trusted_proxies: list[Network] = []  # whose X-Forwarded-For and -Proto are believed
    status_networks: list[Network] = []  # who beside loopback may read /nginx_status and /metrics
    workers: int = Field(default=0, ge=0, le=256)  # app processes; 0: one per core
    drain_seconds: int = Field(default=10, ge=0)  # what runs at SIGTERM may take that long
    user: str = ""  # started as root, nginx and the app run as this user


class DatabaseSettings(_Section):
    """Which database."""

    url: str = ""  # empty: SQLite in the data folder; or postgresql+asyncpg://…
    pool_size: int = Field(default=5, ge=1, le=100)  # connections per process, PostgreSQL only


class TlsSettings(_Section):
    """The server's certificate. Empty: made and renewed by the own authority."""

    certificate: Path | None = None  # PEM, leaf first, intermediates after it
    key: Path | None = None  # PEM, not encrypted
    days: int = Field(default=397, ge=1, le=825)  # how long a made certificate lives
    renew_days: int = Field(default=30, ge=0)  # renewed when fewer are left
    client_certificates: bool = True  # clients may sign in by certificate (with nginx only)
    client_days: int = Field(default=365, ge=1, le=3650)  # how long the certificate of a client bundle lives
    client_authorities: Path | None = None  # PEM: accepted beside our own, roots and intermediates
    client_name_from_cn: bool = False  # theirs sign in the account of their common name when nobody registered the key


class TokenSettings(_Section):
    """Registry bearer tokens."""

    lifetime_seconds: int = Field(default=300, ge=60, le=300)


class PasswordSettings(_Section):
    """argon2id, and how fast one may guess. Source: RFC 9106, second recommended option, for small machines."""

    memory_kib: int = Field(default=65536, ge=8192)
    iterations: int = Field(default=3, ge=1)
    lanes: int = Field(default=4, ge=1)
    minimum_length: int = Field(default=8, ge=1)
    remember_directory: bool = True  # for 30 s, in memory, that a directory found a password right


class RegistrySettings(_Section):
    """What the registry takes and gives."""

    create_repository_on_push: bool = False
    anonymous_access: bool = True  # public repositories are pulled by anyone
    read_only: bool = False
    deletes: bool = True  # false: every DELETE answers 405
    sparse_images: bool = True  # image manifests may name layers that are not here (OCI spec, sparse)
    manifest_limit_bytes: int = Field(default=4 * 1024 * 1024, ge=4 * 1024 * 1024)
    blob_limit_bytes: int = Field(default=0, ge=0)  # 0: no limit but the disk
    reserve_bytes: int = Field(default=1024 * 1024 * 1024, ge=0)  # new uploads get 507 when less is free
    upload_lifetime_hours: int = Field(default=168, ge=1)
    manifest_cache_bytes: int = Field(default=32 * 1024 * 1024, ge=0)  # per app worker


class GarbageSettings(_Section):
    """Collecting what nobody needs."""

    grace_hours: float = Field(default=24, ge=0)
    untagged_manifests: bool = False  # manifests without tag, parent and subject go too
    schedule: str = "0 30 2 * * *"  # cron with seconds; empty: never by itself


class JobSettings(_Section):
    """The job worker."""

    history_keep: int = Field(default=1000, ge=0, le=10**9)  # finished jobs kept, per action; 0: any number
    history_days: int = Field(default=90, ge=0, le=36500)  # 0: of any age


class EventSettings(_Section):
    """The audit log."""

    pulls: bool = True  # pulls are told, too
    history_keep: int = Field(default=5_000_000, ge=0, le=10**9)  # the newest that are kept; 0: any number
    history_days: int = Field(default=0, ge=0, le=36500)  # 0: of any age


class LogSettings(_Section):
    """Logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"  # auto: text on a terminal
    access: Literal["auto", "on", "off"] = "auto"  # a line per request, by nginx; auto: not on a terminal


class Settings(_Section):
    """All of it. `data` is the folder that holds everything not in an external database."""

    model_config = ConfigDict(validate_default=True)

    data: Path = Path("data")
    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    tls: TlsSettings = TlsSettings()
    tokens: TokenSettings = TokenSettings()
    passwords: PasswordSettings = PasswordSettings()
    registry: RegistrySettings = RegistrySettings()
    garbage: GarbageSettings = GarbageSettings()
    jobs: JobSettings = JobSettings()
    events: EventSettings = EventSettings()
    log: LogSettings = LogSettings()

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def database_url(self) -> str:
        """The database's URL, the default filled in."""
        return self.database.url or f"sqlite+aiosqlite:///{self.data / 'lading.db'}"

    @property
    def host_names(self) -> tuple[str, ...]:
        """Every name this server goes by: the external URL's, the configured ones, localhost, this host's, its address."""
        external, here = self.server.external_url, self.server.host
        first = [external.host] if external is not None and external.host else []
        names = [*first, *self.server.names, "localhost", "127.0.0.1", "::1", socket.gethostname()]
        address = [] if here in {"0.0.0.0", "::"} else [here]  # noqa: S104 — compared: these are all addresses, and no name
        return tuple(dict.fromkeys(_as_certificates_have_it(name) for name in (*names, *address)))

    @classmethod
    def load(
        cls,
        *,
        file: Path | None,
        environment: Mapping[str, str] = os.environ,
        overrides: Mapping[str, Any] | None = None,
    ) -> Self:
        """The settings from `file` (none: only defaults), the environment, and the command line's `overrides`.

        Shape: `overrides` is a tree like the file's; None values in it are not given.
        Errors: SettingsError, one line that names the key and its source.
        """
        tree = _read_file(file) if file is not None else {}
        _merge(tree, _from_environment(environment))
        _merge(tree, _given(overrides or {}))
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise SettingsError(_first_problem(error)) from error


def _as_certificates_have_it(name: str) -> str:
    try:
        return str(ip_address(name.strip("[]")))
    except ValueError:
        return name.lower()


def given_keys(file: Path | None, environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """The dotted keys that file and environment set; they pin site settings. Errors: SettingsError."""
    tree = _read_file(file) if file is not None else {}
    _merge(tree, _from_environment(environment))
    return frozenset(_dotted(tree))


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in tree.items():
        keys += _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return keys


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(f"can't read the settings file {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {file} is not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in environment.items():
        if not name.startswith(_PREFIX) or name in _OTHER_VARIABLES or name.startswith(_TEST_PREFIX):
            continue
        path = name.removeprefix(_PREFIX).lower().split("__")
        inner = tree
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise SettingsError(f"the variable {name} contradicts another one: a setting is a value or a section")
        inner[path[-1]] = _parsed(path, value)
    return tree


def _parsed(path: list[str], value: str) -> Any:
    """Lists are written with commas; all else pydantic reads from text."""
    model: type[BaseModel] = Settings
    for part in path[:-1]:
        field = model.model_fields.get(part)
        annotation = field.annotation if field is not None else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return value
        model = annotation
    field = model.model_fields.get(path[-1])
    if field is not None and getattr(field.annotation, "__origin__", None) is list:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _given(tree: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            given[key] = _given(value)
        elif value is not None:
            given[key] = value
    return given


def _merge(tree: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    variable = _PREFIX + "__".join(str(part) for part in first["loc"]).upper()
    if first["type"] == "extra_forbidden":
        return (
            f"unknown setting {key!r} (variable {variable}): remove it, or see docs/settings.md for the names there are"
        )
    return f"the setting {key!r} (variable {variable}) is wrong: {first['msg']}"
