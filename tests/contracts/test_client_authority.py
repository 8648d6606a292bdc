"""The authority of client certificates, over both databases."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from lading.core.clock import SystemClock
from lading.core.folders import DataFolder
from lading.database import Database
from lading.keys.client_authority import KIND, ClientAuthority, find_client_authorities
from lading.keys.master import MasterKey, WrongMasterKeyError
from lading.keys.public_keys import Certificate, read_authorities
from lading.keys.store import SecretStore
from lading.keys.tables import secrets
from support.certificates import root


def authority(database: Database, key: bytes = b"k" * 32) -> ClientAuthority:
    return ClientAuthority(database, SecretStore(MasterKey(key)), SystemClock(), "example", timedelta(days=5))


async def test_it_is_made_once_however_many_ask_for_it_first(database: Database) -> None:
    assert await find_client_authorities(database.points) == ""
    made = await asyncio.gather(*(authority(database).authority() for _ in range(8)))
    assert len({one.pair.certificate for one in made}) == 1
    assert await find_client_authorities(database.points) == made[0].pair.certificate
    async with database.read() as connection:
        counted = await connection.execute(select(func.count()).where(secrets.c.kind == KIND))
        assert counted.scalar_one() == 1


async def test_its_key_is_sealed_and_another_master_key_does_not_open_it(database: Database) -> None:
    pair = (await authority(database).authority()).pair
    async with database.read() as connection:
        sealed, public = (await connection.execute(select(secrets.c.sealed, secrets.c.public))).one()
    assert b"PRIVATE" not in bytes(sealed)
    assert "PRIVATE" not in public
    assert pair.key not in repr(pair)
    with pytest.raises(WrongMasterKeyError):
        await authority(database, b"x" * 32).issue("alice")


async def test_what_it_issues_is_its_own_and_no_two_are_alike(database: Database) -> None:
    ours = authority(database)
    first, second = await ours.issue("alice"), await ours.issue("alice")
    accepted = await find_client_authorities(database.points)
    for pair in (first, second):
        assert Certificate.parse(pair.certificate).is_issued_by(accepted)
        assert not Certificate.parse(pair.certificate).is_issued_by(root("Lading client authority of example").pem)
    assert first.leaf.serial_number != second.leaf.serial_number
    assert first.key != second.key


async def test_a_name_longer_than_a_common_name_may_be_is_cut(database: Database) -> None:
    pair = await authority(database).issue("a" * 100)
    assert Certificate.parse(pair.certificate).common_name == "a" * 64


async def test_nginxs_file_holds_our_authority_and_the_additional_ones(database: Database, tmp_path: Path) -> None:
    folder, elsewhere, ours = DataFolder(tmp_path), root("elsewhere").pem, authority(database)
    folder.make()
    assert await ours.refresh(folder, "")
    assert not await ours.refresh(folder, "\n")
    assert await ours.refresh(folder, elsewhere)
    names = [found.subject.rfc4514_string() for found in read_authorities(folder.client_authorities.read_text())]
    assert names == ["CN=Lading client authority of example", "CN=elsewhere"]


async def test_an_authority_that_is_no_longer_active_is_not_accepted(database: Database) -> None:
    await authority(database).authority()
    async with database.write() as unit:
        await unit.execute(update(secrets).values(is_active=False))
    assert await find_client_authorities(database.points) == ""
