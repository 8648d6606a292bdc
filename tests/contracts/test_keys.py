"""Secrets in the database, the first start, token signing: on both databases."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey
from sqlalchemy import select

from lading.accounts.tables import accounts
from lading.cluster.first_start import FirstStart, first_start
from lading.core.clock import SystemClock
from lading.core.folders import DataFolder
from lading.database import Database
from lading.keys.authority import Authority, KeyPair
from lading.keys.master import MasterKey, WrongMasterKeyError
from lading.keys.server_certificate import CertificateInvalidError, OwnFiles, ServerCertificates
from lading.keys.store import SecretStore
from lading.keys.tables import secrets
from lading.keys.token_signing import KIND, TokenInvalidError, TokenSigner, make_signing_key

CLOCK = SystemClock()
NAMES = ("localhost", "127.0.0.1")


@pytest.fixture
def store() -> SecretStore:
    return SecretStore(MasterKey(b"k" * 32))


async def start(database: Database, store: SecretStore, password: str | None = None) -> FirstStart:
    return await first_start(
        database, store, name="example", password=password, hash_password=lambda text: f"hash of {text}", clock=CLOCK
    )


async def test_the_first_start_makes_an_admin_with_a_random_password_and_the_second_nothing(
    database: Database, store: SecretStore
) -> None:
    first, second = await start(database, store), await start(database, store)
    assert first.password is not None
    assert len(first.password) >= 20
    assert second == FirstStart()
    async with database.read() as connection:
        rows = (await connection.execute(select(accounts.c.name, accounts.c.is_admin, accounts.c.password_hash))).all()
    assert [tuple(row) for row in rows] == [("admin", True, f"hash of {first.password}")]
    assert first.password not in repr(first)


async def test_a_given_password_is_not_shown(database: Database, store: SecretStore) -> None:
    made = await start(database, store, "given")
    assert (made.admin_made, made.password) == (True, None)


async def test_no_two_installations_share_a_password(database: Database, store: SecretStore) -> None:
    first = await start(database, store)
    async with database.write() as unit:
        await unit.execute(accounts.delete())
    assert (await start(database, store)).password != first.password


async def test_another_master_key_is_refused(database: Database, store: SecretStore) -> None:
    await start(database, store)
    with pytest.raises(WrongMasterKeyError, match=r"master\.key"):
        await start(database, SecretStore(MasterKey(b"o" * 32)))


async def test_no_secret_lies_open_in_the_database(database: Database, store: SecretStore) -> None:
    await start(database, store)
    async with database.read() as connection:
        rows = (await connection.execute(select(secrets))).all()
        values = [found.value for kind in ("authority", KIND) for found in await store.list_active(connection, kind)]
    assert len(values) == 2
    for row in rows:
        assert all(value not in bytes(row.sealed) and "PRIVATE" not in row.public for value in values)


# --- the server's certificate ----------------------------------------------------------------------------------------


async def certificates(database: Database, store: SecretStore, folder: DataFolder, **more: Any) -> ServerCertificates:
    folder.make()
    await start(database, store)
    return ServerCertificates(database, store, folder, NAMES, timedelta(days=90), timedelta(days=30), **more)


async def test_the_certificate_is_kept_renewed_and_made_for_new_names(
    database: Database, store: SecretStore, tmp_path: Path
) -> None:
    folder = DataFolder(tmp_path / "data")
    made, now = await certificates(database, store, folder), datetime.now(UTC)
    assert await made.refresh(now)
    assert not await made.refresh(now)
    before = (folder.tls / "certificate.pem").read_text()
    assert await made.refresh(now + timedelta(days=61))
    assert (folder.tls / "certificate.pem").read_text() != before
    assert (folder.tls / "key.pem").stat().st_mode & 0o777 == 0o600
    object.__setattr__(made, "names", (*NAMES, "new.example.com"))
    assert await made.refresh(now + timedelta(days=61))


async def test_an_installed_certificate_is_shown_until_it_is_reset(
    database: Database, store: SecretStore, tmp_path: Path
) -> None:
    folder = DataFolder(tmp_path / "data")
    made, now = await certificates(database, store, folder), datetime.now(UTC)
    own = Authority.create("own", now).issue(NAMES, now, timedelta(days=10))
    await made.refresh(now)
    await made.install(own, now)
    assert await made.refresh(now)
    assert (folder.tls / "certificate.pem").read_text() == own.certificate
    await made.reset()
    assert await made.refresh(now)
    assert (folder.tls / "certificate.pem").read_text() != own.certificate


async def test_a_certificate_that_can_not_serve_is_refused(
    database: Database, store: SecretStore, tmp_path: Path
) -> None:
    made, now = await certificates(database, store, DataFolder(tmp_path / "data")), datetime.now(UTC)
    authority = Authority.create("own", now)
    one, other = (authority.issue(NAMES, now, timedelta(days=10)) for _ in range(2))
    for pair in (KeyPair(one.certificate, other.key), KeyPair("x", one.key), KeyPair(one.certificate, "x")):
        with pytest.raises(CertificateInvalidError):
            await made.install(pair, now)
    with pytest.raises(CertificateInvalidError, match="not now"):
        await made.install(one, now + timedelta(days=11))


async def test_files_of_the_operator_win_and_their_change_is_seen(
    database: Database, store: SecretStore, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    files = OwnFiles(tmp_path / "own.pem", tmp_path / "own.key")
    folder = DataFolder(tmp_path / "data")
    made = await certificates(database, store, folder, own=files)
    for _ in range(2):
        own = Authority.create("own", now).issue(NAMES, now, timedelta(days=10))
        files.certificate.write_text(own.certificate)
        files.key.write_text(own.key)
        assert await made.refresh(now)
        assert (folder.tls / "certificate.pem").read_text() == own.certificate


# --- tokens ----------------------------------------------------------------------------------------------------------


def claims(**more: Any) -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    return {"iat": now, "nbf": now, "exp": now + 100, **more}


async def test_a_token_is_read_back_and_a_changed_one_is_not(database: Database, store: SecretStore) -> None:
    await start(database, store)
    signer = await TokenSigner.load(database, store)
    token = signer.sign(claims(sub="ada"))
    assert signer.verify(token, CLOCK.now())["sub"] == "ada"
    head, body, signature = token.split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims(sub="root")).encode()).rstrip(b"=").decode()
    for wrong in (
        f"{head}.{forged}.{signature}",
        f"{head}.{body}.",
        token[:-4] + "AAAA",
        "",
        "a.b.c",
        token + "x" * 9000,
    ):
        with pytest.raises(TokenInvalidError):
            signer.verify(wrong, CLOCK.now())


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": 1},
        {"nbf": 9999999999},
        {"iat": 9999999999},
        {"exp": "tomorrow"},
        {"exp": None},
        {"nbf": None},
        {"exp": True},
    ],
)
async def test_a_token_out_of_its_time_is_refused(
    database: Database, store: SecretStore, wrong: dict[str, Any]
) -> None:
    await start(database, store)
    signer = await TokenSigner.load(database, store)
    with pytest.raises(TokenInvalidError):
        signer.verify(signer.sign(claims(**wrong)), CLOCK.now())


async def test_a_token_that_brings_its_own_key_is_refused(database: Database, store: SecretStore) -> None:
    """CVE-2025-24976, and what lies near it."""
    await start(database, store)
    signer = await TokenSigner.load(database, store)
    kid = json.loads(base64.urlsafe_b64decode(signer.sign(claims()).split(".")[0] + "=="))["kid"]
    payload = json.dumps(claims(sub="root"))
    own, symmetric, rsa = ECKey.generate_key("P-256"), OctKey.generate_key(256), RSAKey.generate_key(2048)
    crafted = [
        jws.serialize_compact({"alg": "ES256", "kid": kid, "jwk": own.as_dict(private=False)}, payload, own),
        jws.serialize_compact({"alg": "ES256", "kid": kid}, payload, own),
        jws.serialize_compact({"alg": "ES256", "kid": "other"}, payload, own),
        jws.serialize_compact({"alg": "ES256"}, payload, own),
        jws.serialize_compact({"alg": "HS256", "kid": kid}, payload, symmetric),
        jws.serialize_compact({"alg": "RS256", "kid": kid}, payload, rsa),
        base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": kid}).encode()).rstrip(b"=").decode()
        + "."
        + base64.urlsafe_b64encode(payload.encode()).rstrip(b"=").decode()
        + ".",
    ]
    for token in crafted:
        with pytest.raises(TokenInvalidError):
            signer.verify(token, CLOCK.now())


async def test_after_a_rotation_both_keys_check_until_the_old_one_ends(database: Database, store: SecretStore) -> None:
    await start(database, store)
    signer = await TokenSigner.load(database, store)
    old = signer.sign(claims())
    await make_signing_key(database, store, CLOCK.now(), overlap=timedelta(minutes=10))
    await signer.reload()
    signer.verify(old, CLOCK.now())
    with pytest.raises(TokenInvalidError):
        signer.verify(signer.sign(claims(exp=9999999999)), CLOCK.now() + timedelta(minutes=11))


async def test_a_new_key_signs_only_when_every_process_can_know_it(database: Database, store: SecretStore) -> None:
    await start(database, store)
    signer = await TokenSigner.load(database, store)
    before = signer.sign(claims()).split(".")[0]
    await make_signing_key(database, store, CLOCK.now(), overlap=timedelta(minutes=10))
    await signer.reload()
    assert signer.sign(claims()).split(".")[0] == before
