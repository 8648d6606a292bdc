"""`lading trust-host`: puts a registry's authority where Docker, the engine, podman and skopeo look for it.

The authority comes over a connection that can't be checked yet; so its fingerprint is shown, to be compared with the one that
`lading serve` printed, and it must be the one that signed the certificate the server shows.
"""

import http.client
import ssl
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from lading.cli.output import console
from lading.cli.trusted import places
from lading.core.errors import InvalidError, SettingsError, UnavailableError
from lading.core.folders import write_durably

_ANSWER_LIMIT = 1024 * 1024
_DEFAULT_PORT = 443
_LAST_PORT = 65535  # the system takes larger ones, and means another


class AuthorityInvalidError(InvalidError):
    """What the host offers is no authority, or not the one expected."""


def trust_host(
    host: Annotated[str, typer.Argument(metavar="HOST:PORT", help="As images are named: localhost:5443.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    fingerprint: Annotated[str, typer.Option(help="The authority's SHA-256, as `lading serve` prints it.")] = "",
    root: Annotated[Path, typer.Option(hidden=True)] = Path("/"),
) -> None:
    """Trust a registry's own authority on this machine: shows what it will write, and asks."""
    name, port = _parse_host(host)
    authority, shown = _fetch(name, port)
    found = authority.fingerprint(hashes.SHA256()).hex(":").upper()
    _check(authority, shown, found, fingerprint)
    console.print(f"authority of {host}: {authority.subject.rfc4514_string()}\n  SHA-256 {found}")
    if not fingerprint:
        console.print(
            "Compare it with what the server printed when it started (`lading certificate show` tells it, too)."
        )
    wanted = places(host, root=root)
    for place in wanted:
        console.print(f"  {place.path}  [dim]({place.program})[/dim]")
    if not yes and not typer.confirm("Write these files?", default=False):
        raise typer.Exit(1)
    pem = authority.public_bytes(Encoding.PEM)
    refused = [place for place in wanted if not _write(place.path, pem)]
    if refused:
        console.print("Not all was written; with more rights, run this again:", style="yellow")
        console.print(f"  lading trust-host {host} --fingerprint {found}")
        raise typer.Exit(1)
    console.print(f"next: docker login {host}")


def _parse_host(host: str) -> tuple[str, int]:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, str(_DEFAULT_PORT)
    is_port = port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT
    if not is_port or not name or "/" in host or host.startswith(("-", ".")) or ".." in host:
        raise SettingsError(f"{host!r} is not HOST:PORT, such as localhost:5443")
    return name.strip("[]"), int(port)


def _fetch(name: str, port: int) -> tuple[x509.Certificate, x509.Certificate]:
    """The authority that the host offers, and the certificate it shows. Errors: UnavailableError, AuthorityInvalidError."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # what comes is checked by its fingerprint
    connection = http.client.HTTPSConnection(name, port, timeout=15, context=context)
    try:
        connection.request("GET", "/ca")
        shown = connection.sock.getpeercert(binary_form=True) if isinstance(connection.sock, ssl.SSLSocket) else None
        answer = connection.getresponse()
        body = answer.read(_ANSWER_LIMIT)
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"can't reach https://{name}:{port}/ca: {error}") from error
    finally:
        connection.close()
    try:
        if answer.status != http.HTTPStatus.OK or shown is None:
            raise ValueError(answer.status)  # noqa: TRY301 — one refusal for all that is not an authority
        return x509.load_pem_x509_certificate(body), x509.load_der_x509_certificate(shown)
    except ValueError as error:
        raise AuthorityInvalidError(
            f"https://{name}:{port}/ca gives no certificate: is this a Lading registry?"
        ) from error


def _check(authority: x509.Certificate, shown: x509.Certificate, found: str, expected: str) -> None:
    if expected and expected.replace(":", "").upper() != found.replace(":", ""):
        raise AuthorityInvalidError(f"the authority's SHA-256 is {found}, not the one given: nothing was written")
    try:
        shown.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise AuthorityInvalidError(
            "the certificate that the server shows is not signed by its own authority: it has one from elsewhere, whose "
            "authority your system may trust already; nothing was written"
        ) from error


def _write(path: Path, pem: bytes) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, pem, mode=0o644)
    except OSError as error:  # no rights, or a file system that is read-only
        console.print(f"can't write {path}: {error.strerror}", style="yellow")
        return False
    console.print(f"wrote {path}")
    return True
