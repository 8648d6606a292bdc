"""`lading serve`: all set-up, then the server."""

import asyncio
import http.client
import json
import os
import pwd
import signal
import ssl
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.panel import Panel
from sqlalchemy.exc import DatabaseError

from lading import logs
from lading.app.boot import (
    Boot,
    load_master_key,
    make_certificates,
    make_client_authority,
    make_live_settings,
    make_passwords,
)
from lading.cli.local import load_settings
from lading.cluster.first_start import ADMIN, FirstStart, first_start, replica_id
from lading.cluster.site import SETTINGS_EVERY, LiveSettings
from lading.core.clock import SystemClock
from lading.core.errors import SettingsError, UnavailableError
from lading.core.folders import DataFolder, write_durably
from lading.database import Database
from lading.database.migrations import upgrade
from lading.edge.nginx import NginxUnusableError, command, find_nginx, write_config
from lading.edge.plan import EdgePlan
from lading.edge.supervisor import Child, StartError, Supervisor, check_port, end_leftovers, listen, take_server_lock
from lading.edge.workers import WorkersPlan
from lading.keys.client_authority import ClientAuthority
from lading.keys.server_certificate import ServerCertificates
from lading.keys.store import SecretStore
from lading.settings import Settings

log = structlog.get_logger()
_READY_SECONDS = 60
_PORT_ATTEMPTS = 5


def serve(
    data: Annotated[Path | None, typer.Option(help="The folder that holds everything.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on; 0.0.0.0 and :: are all.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 picks a free one.")] = None,
    edge: Annotated[str | None, typer.Option(help="auto, nginx or none.")] = None,
    config: Annotated[Path | None, typer.Option(help="The settings file, lading.toml.")] = None,
) -> None:
    """Run the registry: makes what is missing, then serves until SIGTERM."""
    settings = load_settings(config, data, {"host": host, "port": port, "edge": edge})
    logs.configure(settings.log.level, settings.log.format)
    folder = DataFolder(settings.data)
    _make_folder(folder, settings.server.user)
    lock = take_server_lock(folder)
    try:
        end_leftovers(folder)
        asyncio.run(_serve(settings, folder))
    finally:
        os.close(lock)


def _make_folder(folder: DataFolder, user: str) -> None:
    try:
        folder.make()
        if user and os.geteuid() == 0:
            _become(user, folder)
        probe = folder.root / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingsError(f"can't use the data folder {folder.root}: {error.strerror}") from error


def _become(user: str, folder: DataFolder) -> None:
    """The whole tree runs as one user, to whom the data folder is given."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise SettingsError(f"there is no user {user!r} (server.user)") from error
    if folder.root.stat().st_uid != entry.pw_uid:
        for path in (folder.root, *folder.root.rglob("*")):
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


async def _serve(settings: Settings, folder: DataFolder) -> None:
    clock = SystemClock()
    plan = _plan(settings, folder)
    database = await _open_database(settings)
    try:
        await upgrade(database)
        secrets = SecretStore(load_master_key(folder, may_create=True))
        made = await first_start(
            database,
            secrets,
            name=settings.host_names[0],
            password=_given_password(),
            hash_password=make_passwords(settings).hash_now,
            clock=clock,
        )
        certificates = make_certificates(settings, folder, database, secrets)
        await certificates.refresh(clock.now())
        authority = make_client_authority(settings, database, secrets, clock)
        clients = _Clients(make_live_settings(database, clock, settings), authority, folder)
        for attempt in range(_PORT_ATTEMPTS):
            try:
                await _supervise(settings, folder, plan, certificates, clients, made)
                break
            except StartError:
                # A port that was found free may be somebody else's by now; one that was asked for is not exchanged.
                if settings.server.port or attempt + 1 == _PORT_ATTEMPTS:
                    raise
                plan = replace(plan, port=check_port(plan.host, 0))
    finally:
        await database.close()


@dataclass
class _Clients:
    """Which client certificates nginx is to ask for: a site setting, so looked at again and again."""

    live: LiveSettings
    authority: ClientAuthority
    folder: DataFolder
    _seen: tuple[bool, str] | None = None

    async def refresh(self, plan: EdgePlan) -> tuple[EdgePlan, bool]:
        """The plan as it is now, and whether nginx has to be told: of another one, or of other authorities."""
        await self.live.refresh()
        is_on, additional = wanted = (
            self.live.current.client_certificates and plan.is_nginx,
            self.live.current.client_authorities,
        )
        is_changed = is_on != plan.client_certificates
        if is_on and wanted != self._seen:
            is_changed = await self.authority.refresh(self.folder, additional) or is_changed
        self._seen = wanted
        return replace(plan, client_certificates=is_on), is_changed


async def _supervise(
    settings: Settings,
    folder: DataFolder,
    plan: EdgePlan,
    certificates: ServerCertificates,
    clients: _Clients,
    made: FirstStart,
) -> None:
    """Runs the tree until the server is told to stop. Errors: StartError."""
    clock = SystemClock()
    plan, _ = await clients.refresh(plan)
    boot = Boot(settings, "nginx" if plan.is_nginx else "none", plan.url, plan.port, replica_id(folder))
    write_durably(folder.boot, boot.text().encode())
    supervisor = Supervisor(_children(plan, folder), folder=folder, drain_seconds=plan.drain_seconds)
    is_stale = False

    async def refresh() -> None:
        nonlocal is_stale
        is_stale = await certificates.refresh(clock.now()) or is_stale
        if not is_stale:
            return
        if plan.is_nginx:
            write_config(plan)  # when nginx refuses it, the old one stays, and the next round tries again
        supervisor.signal("nginx" if plan.is_nginx else "app", signal.SIGHUP)
        is_stale = False
        log.info("the certificate changed; it is shown from now on")

    async def watch_clients() -> None:
        nonlocal plan, is_stale
        while True:
            await asyncio.sleep(SETTINGS_EVERY.total_seconds())
            try:
                plan, is_changed = await clients.refresh(plan)
                is_stale = is_changed or is_stale
                if is_changed:
                    write_config(plan)
                    supervisor.signal("nginx", signal.SIGHUP)
                    is_stale = False
                    log.info("other client certificates are accepted from now on", enabled=plan.client_certificates)
            except Exception:
                log.exception("looking after client certificates failed; it is tried again")

    async def announce() -> None:
        await _wait_until_ready(plan)
        authority = await certificates.authority()
        _show(made, plan, authority.pair.fingerprint)
        print(f"ready {plan.local_url}", flush=True)  # noqa: T201 — the line that automation waits for

    watching = asyncio.create_task(watch_clients())
    try:
        await supervisor.run(announce, refresh)
    finally:
        watching.cancel()


async def _open_database(settings: Settings) -> Database:
    try:
        return await Database.open(settings.database_url)
    except DatabaseError as error:
        raise SettingsError(f"can't use the database in {settings.data}: {error.orig}") from error


def _plan(settings: Settings, folder: DataFolder) -> EdgePlan:
    server = settings.server
    nginx = _nginx(server.edge)
    if not nginx and server.edge == "auto":
        Console(stderr=True).print(
            "serving without nginx (slower, no client certificates): install it to change that, apt-get install nginx",
            style="yellow",
            highlight=False,
        )
    if not nginx and server.trusted_proxies:
        Console(stderr=True).print(
            "server.trusted_proxies does nothing without nginx: proxies are taken for the clients themselves",
            style="yellow",
            highlight=False,
        )
    tls = settings.tls
    if not nginx and (tls.client_authorities is not None or "client_certificates" in tls.model_fields_set):
        Console(stderr=True).print(
            "tls.client_certificates does nothing without nginx: nobody is asked for a certificate",
            style="yellow",
            highlight=False,
        )
    if not nginx and server.http_redirect_port:
        raise SettingsError("server.http_redirect_port needs nginx: install it, or take the setting out")
    external = str(server.external_url).rstrip("/") if server.external_url else ""
    if server.http_redirect_port:
        check_port(server.host, server.http_redirect_port)
    return EdgePlan(
        folder=folder,
        host=server.host,
        port=check_port(server.host, server.port),
        is_nginx=bool(nginx),
        nginx=nginx,
        workers=server.workers or os.cpu_count() or 1,
        drain_seconds=server.drain_seconds,
        http_redirect_port=server.http_redirect_port,
        external_url=external,
        trusted_proxies=[str(network) for network in server.trusted_proxies],
        status_networks=[str(network) for network in server.status_networks],
        manifest_limit_bytes=settings.registry.manifest_limit_bytes,
        blob_limit_bytes=settings.registry.blob_limit_bytes,
        access_log=settings.log.access == "on" or (settings.log.access == "auto" and not sys.stderr.isatty()),
    )


def _nginx(wanted: str) -> str:
    """nginx's path; empty to serve without."""
    if wanted == "none":
        return ""
    try:
        return find_nginx()
    except NginxUnusableError:
        if wanted == "nginx":
            raise
        return ""


def _given_password() -> str | None:
    given, file = os.environ.get("LADING_ADMIN_PASSWORD"), os.environ.get("LADING_ADMIN_PASSWORD_FILE")
    if given:
        return given
    if not file:
        return None
    try:
        return Path(file).read_text().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"can't read LADING_ADMIN_PASSWORD_FILE {file}: {error.strerror}") from error


def _children(plan: EdgePlan, folder: DataFolder) -> list[Child]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LADING_ADMIN_PASSWORD")}
    environment = {**inherited, "LADING_BOOT": str(folder.boot), "PROMETHEUS_MULTIPROC_DIR": str(folder.metrics)}
    jobs = Child("jobs", [sys.executable, "-m", "lading.app", "jobs"], environment)
    if not plan.is_nginx:
        workers = WorkersPlan(
            plan.workers,
            plan.drain_seconds,
            host=plan.host,
            port=plan.port,
            certificate=str(folder.tls / "certificate.pem"),
            key=str(folder.tls / "key.pem"),
        )
        return [Child("app", workers.command(), environment), jobs]
    descriptor = listen(folder.socket).detach()
    worker = [sys.executable, "-m", "lading.app", "worker", str(descriptor)]
    app = [
        Child(f"app-{number}", worker, environment, descriptors=[descriptor]) for number in range(1, plan.workers + 1)
    ]
    nginx = Child(
        "nginx",
        command(plan, write_config(plan)),
        environment,
        stop=signal.SIGQUIT,
        needs=folder.socket,
        forward_output=plan.access_log,
    )
    return [nginx, *app, jobs]


async def _wait_until_ready(plan: EdgePlan) -> None:
    """Asks through the edge until it is healthy."""
    for _ in range(_READY_SECONDS * 10):
        problem = await asyncio.to_thread(_ask_health, plan)
        if not problem:
            return
        await asyncio.sleep(0.1)
    raise UnavailableError(f"the server does not become ready: {problem}")


def _ask_health(plan: EdgePlan) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(plan.host, plan.host)  # noqa: S104 — compared
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # our own server; only "is it up" is asked
    connection = http.client.HTTPSConnection(host, plan.port, timeout=5, context=context)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        document = json.loads(answer.read())
        return str(document.get("Error", "")) if isinstance(document, dict) and "Healthy" in document else "starting"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()


def _show(made: FirstStart, plan: EdgePlan, fingerprint: str) -> None:
    """What a person wants to know now."""
    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    host = plan.url.partition("://")[2]
    if made.password is not None:
        console.print(
            Panel.fit(
                f"[bold]{ADMIN}[/bold] may sign in with the password\n\n    [bold]{made.password}[/bold]\n\n"
                "It is shown this once and kept nowhere.",
                title="First start",
            )
        )
    console.print(f"Lading serves [bold]{plan.url}[/bold]   authority SHA-256 {fingerprint}")
    console.print(f"  trust it:   lading trust-host {host}")
    console.print(f"  sign in:    docker login {host} -u {ADMIN}")
    console.print(f"  push:       docker tag IMAGE {host}/{ADMIN}/IMAGE && docker push {host}/{ADMIN}/IMAGE")
    sys.stderr.flush()
