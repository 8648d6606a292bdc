"""nginx's file: rendered from a plan, tested by nginx itself before it is loaded."""

import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

import jinja2

from lading.core.errors import SettingsError
from lading.core.folders import write_durably
from lading.edge.plan import EdgePlan

# Status, code, message: all that nginx may have to say by itself.
ERRORS = (
    (400, "UNSUPPORTED", "the request is not HTTP as it should be, or came without TLS: use https://"),
    (404, "NAME_UNKNOWN", "there is nothing here, or its content is missing"),
    (405, "UNSUPPORTED", "the method is not possible here"),
    (408, "BLOB_UPLOAD_INVALID", "the client was silent for too long"),
    (413, "SIZE_INVALID", "the body is larger than what is allowed here"),
    (414, "NAME_INVALID", "the address is too long"),
    (416, "RANGE_INVALID", "the range lies outside the content"),
    (500, "UNKNOWN", "something failed; tell the administrator the request id"),
    (502, "UNAVAILABLE", "the registry is starting, or was restarted; try again in a moment"),
    (503, "UNAVAILABLE", "the registry is busy, or its storage is full; try again in a moment"),
    (504, "UNAVAILABLE", "the registry took too long; try again"),
    (507, "DENIED", "the storage of the registry is full"),
)
REFUSED_STATUSES = (400, 404, 405, 413, 416, 429, 503, 507)
_LOOPBACK = ("127.0.0.0/8", "::1")
_MODERN_HTTP2 = (1, 25, 1)
_VERSION = re.compile(r"nginx/(\d+)\.(\d+)\.(\d+)")
_BODY_LIMIT = 1024 * 1024  # bytes, where no location says more; as in web/api.py
_SLACK = 4096  # bytes over the app's own limit, so that the app can say it better


class NginxUnusableError(SettingsError):
    """There is no nginx, or not one that can do what is needed."""


def find_nginx() -> str:
    """nginx's path. Errors: NginxUnusableError, which tells what is missing."""
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise NginxUnusableError("nginx is not installed (Debian: apt-get install nginx)")
    if "--with-http_auth_request_module" not in _about(path):
        raise NginxUnusableError(f"{path} was built without its auth_request module")
    return path


def _about(path: str) -> str:
    return subprocess.run([path, "-V"], capture_output=True, text=True, check=False, timeout=10).stderr


def version_of(path: str) -> tuple[int, int, int]:
    """nginx's version. Errors: NginxUnusableError."""
    match = _VERSION.search(_about(path))
    if match is None:
        raise NginxUnusableError(f"{path} does not tell its version")
    return int(match[1]), int(match[2]), int(match[3])


def render(plan: EdgePlan, version: tuple[int, int, int]) -> str:
    """The configuration file for a plan."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lading.edge", "."),
        autoescape=False,  # noqa: S701 — nginx's syntax; every value is a number, a path or an address from the settings
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = plan.folder
    return environment.get_template("nginx.conf.j2").render(
        run=folder.run,
        spool=folder.spool,
        tls=folder.tls,
        client_authorities=folder.client_authorities,
        blobs=folder.blobs,
        socket=folder.socket,
        user=(plan.user or "root") if os.geteuid() == 0 else "",
        workers=plan.workers,
        addresses=["0.0.0.0", "[::]"] if plan.host == "::" else [plan.address],  # noqa: S104 — as the operator said
        port=plan.port,
        modern_http2=version >= _MODERN_HTTP2,
        http_redirect_port=plan.http_redirect_port,
        redirect_to=plan.external_url or f"https://$host:{plan.port}",
        trusted_proxies=plan.trusted_proxies,
        status_networks=[*_LOOPBACK, *plan.status_networks],
        small_body_bytes=_BODY_LIMIT + _SLACK,
        manifest_limit_bytes=plan.manifest_limit_bytes + _SLACK,
        blob_limit_bytes=plan.blob_limit_bytes,
        open_files=min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        access_log=plan.access_log,
        client_certificates=plan.client_certificates,
        errors=ERRORS,
        refused_statuses=REFUSED_STATUSES,
    )


def write_config(plan: EdgePlan) -> Path:
    """The file of this run, which nginx found right; the last good one stays otherwise.

    Errors: NginxUnusableError with nginx's own words.
    """
    good, candidate = plan.folder.run / "nginx.conf", plan.folder.run / "nginx.conf.new"
    write_durably(candidate, render(plan, version_of(plan.nginx)).encode())
    test = subprocess.run(command(plan, candidate, "-t", "-q"), capture_output=True, text=True, check=False, timeout=30)
    if test.returncode:
        raise NginxUnusableError(f"nginx refuses its configuration: {test.stderr.strip()[-500:]}")
    candidate.replace(good)
    return good


def command(plan: EdgePlan, config: Path, *more: str) -> list[str]:
    """nginx's command line: nothing in system folders is read or written."""
    return [plan.nginx, "-e", "stderr", "-p", str(plan.folder.run), "-c", str(config), *more]
