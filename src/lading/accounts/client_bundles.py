"""Client bundles: a zip with a new key, its certificate, and what programs need to use them. Source: DTR reference, part 4.

    ca.pem  cert.pem  cert.pub  key.pem       the server's authority; certificate, public and private key of the account
    env.sh  env.ps1  env.cmd                  variables for a shell; `sh env.sh engine` puts the files where Docker looks
    meta.json  tls/docker/{ca,cert,key}.pem   the same in the form of a Docker context

The private key is in the download and nowhere else. DOCKER_HOST is not set, as UCP's bundles did: there is no engine behind
a registry.
"""

import io
import json
import shlex
import zipfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lading.accounts.accounts import Account
from lading.accounts.public_key_store import KeyCertificate, RegisteredKey
from lading.accounts.public_keys import PublicKeys
from lading.core.clock import Clock
from lading.events.log import Actor
from lading.keys.authority import KeyPair
from lading.keys.client_authority import ClientAuthority
from lading.keys.public_keys import PublicKey

_SECRET = {"key.pem", "tls/docker/key.pem"}
_REGULAR = 0o100000  # a file, as Unix writes its kind beside its rights


@dataclass(frozen=True, slots=True)
class ClientBundle:
    """A bundle, made for one download."""

    filename: str
    key: RegisteredKey
    zipped: bytes = field(repr=False)


@dataclass(frozen=True)
class ClientBundles:
    """Makes bundles. `host` is as images are named; `server_authority` gives what the server's certificate is checked by."""

    authority: ClientAuthority
    keys: PublicKeys
    clock: Clock
    host: str
    server_authority: Callable[[], Awaitable[str]]

    async def make(self, account: Account, *, label: str, by: Actor) -> ClientBundle:
        """A new bundle of the account, its public key registered. Errors: TooManyKeysError."""
        now = self.clock.now()
        pair = await self.authority.issue(account.name)
        public = PublicKey.parse(pair.certificate)
        label = label or f"Generated on {now:%Y-%m-%d %H:%M:%S} UTC"
        certificates = [KeyCertificate("client bundle", pair.certificate)]
        key = await self.keys.add(account, public, certificates, label=label, by=by)
        files = bundle_files(account.name, self.host, await self.server_authority(), pair, public.pem)
        return ClientBundle(f"bundle-{account.name}.zip", key, _zipped(files, now))


def bundle_files(name: str, host: str, server_authority: str, pair: KeyPair, public_key: str) -> dict[str, str]:
    """What is in a bundle, by path."""
    described = {"ca.pem": server_authority, "cert.pem": pair.certificate, "key.pem": pair.key}
    context = {
        "Name": f"lading_{host.replace(':', '_')}_{name}",
        "Metadata": {"Description": f"client certificate of {name} for {host}"},
        "Endpoints": {"docker": {"Host": f"tcp://{host}", "SkipTLSVerify": False}},
    }
    return {
        **described,
        "cert.pub": public_key,
        "env.sh": _SH.format(name=name, host=shlex.quote(host)),
        "env.ps1": _POWERSHELL.format(name=name, host=host),
        "env.cmd": _CMD.format(name=name, host=host).replace("\n", "\r\n"),
        "meta.json": json.dumps(context, indent=2) + "\n",
        **{f"tls/docker/{path}": text for path, text in described.items()},
    }


def _zipped(files: Mapping[str, str], now: datetime) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path, now.timetuple()[:6])
            entry.create_system = 3  # Unix, so that the rights are kept
            entry.external_attr = (_REGULAR | (0o600 if path in _SECRET else 0o644)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return written.getvalue()


_SH = """\
# Client bundle of {name}. Whoever has key.pem is {name} for the registry: keep it to yourself.
#
#   . ./env.sh         in bash or zsh: `lading` and your own scripts find the registry and these files
#   sh env.sh engine   as root: all pushes and pulls of this machine's Docker engine are {name}'s, without docker login
#   sh env.sh tools    the same for your own podman, skopeo, buildah, docker trust and notary
lading_bundle_host={host}
lading_bundle=$(cd "$(dirname "${{BASH_SOURCE:-$0}}")" && pwd)
lading_bundle_put() {{
    mkdir -p "$1" &&
        cp "$lading_bundle/ca.pem" "$1/ca.crt" &&
        cp "$lading_bundle/cert.pem" "$1/client.cert" &&
        (umask 077 && cp "$lading_bundle/key.pem" "$1/client.key" && chmod 600 "$1/client.key") &&
        echo "put ca.crt, client.cert and client.key into $1"
}}
case "${{1:-}}" in
engine)
    lading_bundle_put "/etc/docker/certs.d/$lading_bundle_host"
    ;;
tools)
    lading_bundle_put "$HOME/.config/containers/certs.d/$lading_bundle_host" &&
        lading_bundle_put "$HOME/.docker/tls/$lading_bundle_host"
    ;;
*)
    # No DOCKER_HOST: behind a registry there is no engine. Try: curl --cacert ca.pem --cert cert.pem --key key.pem
    export DOCKER_CERT_PATH="$lading_bundle"
    export LADING_URL="https://$lading_bundle_host"
    ;;
esac
"""

_POWERSHELL = """\
# Client bundle of {name}. Whoever has key.pem is {name} for the registry: keep it to yourself.
# In PowerShell:  . .\\env.ps1
# For Docker, copy ca.pem, cert.pem and key.pem as ca.crt, client.cert and client.key into
#   $env:ProgramData\\docker\\certs.d\\HOST   (the engine; HOST is {host} without its colon)
#   $HOME\\.docker\\certs.d\\{host}           (Docker Desktop; there, too, without the colon)
$env:DOCKER_CERT_PATH = $PSScriptRoot
$env:LADING_URL = "https://{host}"
"""

_CMD = """\
@echo off
REM Client bundle of {name}. Whoever has key.pem is {name} for the registry: keep it to yourself.
REM For Docker, copy ca.pem, cert.pem and key.pem as ca.crt, client.cert and client.key into
REM   %ProgramData%\\docker\\certs.d\\HOST   (the engine; HOST is {host} without its colon)
set DOCKER_CERT_PATH=%~dp0
set LADING_URL=https://{host}
"""
