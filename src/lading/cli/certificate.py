"""`lading certificate`: which certificate the server shows."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from lading.app.boot import make_certificates
from lading.app.parts import Parts
from lading.cli.local import Config, Data, run_local
from lading.cli.output import console
from lading.core.errors import SettingsError
from lading.keys.authority import KeyPair, names_of
from lading.keys.server_certificate import ServerCertificates
from lading.keys.token_signing import make_signing_key

app = typer.Typer(help="The server's certificate.", no_args_is_help=True)
keys = typer.Typer(help="Keys that this server keeps.", no_args_is_help=True)
_Result = TypeVar("_Result")
_OVERLAP = timedelta(hours=1)  # longer than any token lives


@keys.callback()
def _keys() -> None:
    """Keys that this server keeps."""


def _with_certificates(
    data: Path | None, config: Path | None, work: Callable[[Parts, ServerCertificates], Awaitable[_Result]]
) -> _Result:
    async def opened(parts: Parts) -> _Result:
        return await work(parts, make_certificates(parts.boot.settings, parts.folder, parts.database, parts.secrets))

    return run_local(data, config, opened)


@app.command()
def install(
    certificate: Annotated[Path, typer.Argument(help="PEM: the server's own first, intermediates after it.")],
    key: Annotated[Path, typer.Argument(help="PEM, without a passphrase.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Show your own certificate from now on; a running server takes it within a minute."""
    try:
        pair = KeyPair(certificate.read_text(), key.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read {certificate} or {key}: {error}") from error

    async def work(parts: Parts, certificates: ServerCertificates) -> None:
        await certificates.install(pair, parts.clock.now())

    _with_certificates(data, config, work)
    console.print(f"installed the certificate of {', '.join(sorted(names_of(pair.leaf))) or 'no name'}")


@app.command()
def reset(data: Data = None, config: Config = None) -> None:
    """Show the made certificate again; a running server does so within a minute."""

    async def work(_parts: Parts, certificates: ServerCertificates) -> None:
        await certificates.reset()

    _with_certificates(data, config, work)
    console.print("the made certificate is shown from now on")


@app.command()
def show(data: Data = None, config: Config = None) -> None:
    """Tell which certificate the server shows, and the authority's fingerprint."""

    async def work(parts: Parts, certificates: ServerCertificates) -> tuple[KeyPair, KeyPair]:
        # The file's: to ask for the current one could make a new one, by settings that may not be the server's.
        shown = parts.folder.tls / "certificate.pem"
        if not shown.exists():
            raise SettingsError(f"no certificate was shown yet from {parts.folder.root}: run `lading serve` once")
        return (await certificates.authority()).pair, KeyPair(shown.read_text(), "")

    authority, shown = _with_certificates(data, config, work)
    leaf = shown.leaf
    console.print(f"names        {', '.join(sorted(names_of(leaf)))}")
    console.print(f"issuer       {leaf.issuer.rfc4514_string()}")
    console.print(f"valid until  {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    console.print(f"SHA-256      {shown.fingerprint}")
    console.print(f"authority    {authority.fingerprint}")


@keys.command()
def rotate_signing(data: Data = None, config: Config = None) -> None:
    """Make a new key for signing tokens; the old one checks tokens for an hour more."""

    async def work(parts: Parts) -> str:
        return await make_signing_key(parts.database, parts.secrets, parts.clock.now(), overlap=_OVERLAP)

    kid = run_local(data, config, work)
    console.print(f"tokens are signed by the new key {kid} within a minute")
