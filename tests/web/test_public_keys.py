"""Public keys and client bundles over the REST API, and whom a certificate signs in: over both databases."""

import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import select

from lading.accounts.certificate_sign_in import CertificateRefusedError, CertificateRules, CertificateSignIn
from lading.core.clock import Clock, SystemClock
from lading.events.log import SYSTEM
from lading.events.tables import events
from lading.keys.authority import KeyPair
from lading.web.exchange import ClientCertificate
from support.apps import Doors
from support.certificates import Issuer, issuer_of, public_pem, root, self_signed
from support.clocks import ManualClock

KEYS = "/enzi/v0/accounts/alice/publicKeys"


def new_key() -> str:
    return public_pem(self_signed("x"))


async def bundle(doors: Doors, name: str, **query: str) -> dict[str, bytes]:
    async with doors.client(name) as client:
        answer = await client.get("/api/clientbundle", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    return {item.filename: archive.read(item) for item in archive.infolist()}


def pair_in(files: Mapping[str, bytes]) -> KeyPair:
    return KeyPair(files["cert.pem"].decode(), files["key.pem"].decode())


# --- keys ------------------------------------------------------------------------------------------------------------


async def test_a_key_is_added_listed_renamed_and_deleted_and_each_is_an_event(doors: Doors) -> None:
    pem = new_key()
    async with doors.client("alice") as alice:
        made = await alice.post(KEYS, json={"publicKey": pem, "label": "laptop"})
        assert made.status_code == 201
        key = made.json()
        der = serialization.load_pem_public_key(pem.encode()).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        account = (await alice.get("/enzi/v0/accounts/alice")).json()["id"]
        wanted = {"id": hashlib.sha256(der).hexdigest(), "accountID": account, "publicKey": pem, "certificates": []}
        assert key == {**wanted, "label": "laptop"}
        assert (await alice.get(KEYS)).json() == {"accountPublicKeys": [key], "nextPageStart": ""}
        path = f"{KEYS}/{key['id']}"
        assert (await alice.patch(path, json={"label": "old laptop"})).json() == {**wanted, "label": "old laptop"}
        assert (await alice.delete(path)).status_code == 204
        assert (await alice.get(KEYS)).json()["accountPublicKeys"] == []
        for answer in (await alice.delete(path), await alice.patch(path, json={"label": ""})):
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NO_SUCH_PUBLIC_KEY")
    columns = (events.c.type, events.c.actor, events.c.object_id, events.c.object_name, events.c.content)
    async with doors.database.read() as connection:
        told = await connection.execute(select(*columns).where(events.c.object_type == "PUBLIC_KEY"))
        assert [tuple(row) for row in told] == [
            (kind, account, key["id"], "alice", label)
            for kind, label in (("CREATE", "laptop"), ("UPDATE", "old laptop"), ("DELETE", "old laptop"))
        ]


async def test_any_user_reads_keys_and_only_the_account_itself_and_administrators_write(doors: Doors) -> None:
    pem = new_key()
    async with doors.client("alice") as alice, doors.client("bob") as bob, doors.client("admin") as admin:
        made = (await admin.post(KEYS, json={"publicKey": pem})).json()
        path = f"{KEYS}/{made['id']}"
        assert (await bob.get(KEYS)).json() == (await alice.get(KEYS)).json()
        for method, target, body in (
            ("POST", KEYS, {"publicKey": new_key()}),
            ("PATCH", path, {"label": "x"}),
            ("DELETE", path, None),
        ):
            assert (await bob.request(method, target, json=body)).status_code == 403
        assert (await bob.get("/enzi/v0/accounts/nobody/publicKeys")).status_code == 404
        assert (await bob.post("/enzi/v0/accounts/nobody/publicKeys", json={"publicKey": pem})).status_code == 404
        assert (await alice.delete(path)).status_code == 204
    async with doors.client() as anonymous:
        assert (await anonymous.get(KEYS)).status_code == 401


async def test_keys_come_in_pages(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        made = [(await alice.post(KEYS, json={"publicKey": new_key()})).json()["id"] for _ in range(5)]
        found, start = [], ""
        for _ in range(3):
            page = (await alice.get(KEYS, params={"limit": 2, "start": start})).json()
            found += [item["id"] for item in page["accountPublicKeys"]]
            start = page["nextPageStart"]
        assert (found, start) == (sorted(made), "")


async def test_a_key_may_come_in_a_certificate_and_brings_it_along(doors: Doors) -> None:
    pair, other = self_signed("elsewhere"), self_signed("other")
    async with doors.client("alice") as alice:
        made = (await alice.post(KEYS, json={"publicKey": pair.certificate, "label": "mine"})).json()
        assert made["publicKey"] == public_pem(pair)
        assert made["certificates"] == [{"label": "mine", "cert": pair.certificate}]
        await alice.delete(f"{KEYS}/{made['id']}")
        form: dict[str, Any] = {
            "publicKey": public_pem(pair),
            "certificates": [{"label": "a", "cert": pair.certificate}],
        }
        assert (await alice.post(KEYS, json=form)).json()["certificates"] == form["certificates"]
        form = {"publicKey": public_pem(other), "certificates": form["certificates"]}
        wrong = await alice.post(KEYS, json=form)
        assert (wrong.status_code, "not one of the public key" in wrong.text) == (400, True)


async def test_a_key_names_one_account(doors: Doors) -> None:
    pem = new_key()
    async with doors.client("alice") as alice, doors.client("bob") as bob:
        assert (await alice.post(KEYS, json={"publicKey": pem})).status_code == 201
        for client, name in ((alice, "alice"), (bob, "bob")):
            again = await client.post(f"/enzi/v0/accounts/{name}/publicKeys", json={"publicKey": pem})
            assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "PUBLIC_KEY_EXISTS")


def weak(bits: int = 1024) -> str:
    key = rsa.generate_private_key(65537, bits).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("key", "status"),
    [("", 400), ("x", 400), ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", 400), ("weak", 400),
     ("small curve", 400), ("private", 400), ("A" * 20_000, 400), ("rsa", 201)],
    ids=["empty", "text", "no-certificate", "short-rsa", "small-curve", "private", "long", "rsa"],
)  # fmt: skip
async def test_what_is_no_good_public_key_is_refused(doors: Doors, key: str, status: int) -> None:
    made = {"weak": weak, "rsa": lambda: weak(2048), "private": lambda: self_signed("x").key}
    if key == "small curve":
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        small = ec.generate_private_key(ec.SECP192R1()).public_key()
        key = small.public_bytes(serialization.Encoding.PEM, form).decode()
    async with doors.client("alice") as alice:
        answer = await alice.post(KEYS, json={"publicKey": made[key]() if key in made else key})
    assert answer.status_code == status, answer.text
    assert "PRIVATE" not in answer.text


# --- bundles ---------------------------------------------------------------------------------------------------------


async def test_a_bundle_holds_what_the_reference_lists_and_its_key_is_registered(doors: Doors) -> None:
    (doors.parts.folder.tls / "ca.pem").write_text("the server's authority\n")
    files = await bundle(doors, "alice")
    listed = {"ca.pem", "cert.pem", "cert.pub", "key.pem", "env.sh", "env.ps1", "env.cmd", "meta.json"}
    assert set(files) == listed | {f"tls/docker/{name}.pem" for name in ("ca", "cert", "key")}
    pair = pair_in(files)
    key = serialization.load_pem_private_key(pair.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert files["cert.pub"].decode() == public_pem(pair)
    assert key.public_key() == pair.leaf.public_key()
    assert files["ca.pem"] == files["tls/docker/ca.pem"] == b"the server's authority\n"
    assert (files["tls/docker/cert.pem"], files["tls/docker/key.pem"]) == (files["cert.pem"], files["key.pem"])
    assert json.loads(files["meta.json"])["Endpoints"]["docker"]["Host"] == "tcp://registry.test:5443"
    assert all(
        b"registry.test:5443" in files[name] and b"DOCKER_HOST=" not in files[name]
        for name in ("env.sh", "env.ps1", "env.cmd")
    )
    async with doors.client("alice") as alice:
        (known,) = (await alice.get(KEYS)).json()["accountPublicKeys"]
    assert known["publicKey"] == files["cert.pub"].decode()
    assert known["label"].startswith("Generated on 20")
    assert known["certificates"] == [{"label": "client bundle", "cert": files["cert.pem"].decode()}]


async def test_a_bundles_certificate_is_for_clients_only_and_for_as_long_as_the_settings_say(doors: Doors) -> None:
    leaf = pair_in(await bundle(doors, "alice")).leaf
    extensions = leaf.extensions
    (common_name,) = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert common_name.value == "alice"
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    with pytest.raises(x509.ExtensionNotFound):
        extensions.get_extension_for_class(x509.SubjectAlternativeName)
    life = leaf.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=364) < life <= timedelta(days=365)


async def test_a_bundle_has_a_label_and_administrators_make_them_for_others(doors: Doors) -> None:
    files = await bundle(doors, "admin", username="alice", label="for the build server")
    async with doors.client("bob") as bob:
        (known,) = (await bob.get(KEYS)).json()["accountPublicKeys"]
        assert known["label"] == "for the build server"
        refused = await bob.get("/api/clientbundle", params={"username": "alice"})
        nobody = await bob.get("/api/clientbundle", params={"username": "alicf"})
        assert refused.status_code == nobody.status_code == 404
        assert refused.text.replace("alice", "alicf")[:80] == nobody.text[:80]
    assert pair_in(files).leaf.subject.rfc4514_string() == "CN=alice"


async def test_nobody_in_particular_gets_no_bundle_and_head_makes_none(doors: Doors) -> None:
    async with doors.client() as anonymous, doors.client("alice") as alice:
        assert (await anonymous.get("/api/clientbundle")).status_code == 401
        assert (await alice.head("/api/clientbundle")).status_code == 405
        assert (await alice.get(KEYS)).json()["accountPublicKeys"] == []


async def test_a_narrowed_access_token_gets_no_bundle_that_may_more(doors: Doors) -> None:
    async with doors.client("alice") as alice:
        narrowing = [{"repository": "alice/one", "accessLevel": "admin"}]
        made = await alice.post("/api/v0/api_tokens", json={"tokenLabel": "x", "repositories": narrowing})
        assert made.status_code == 200, made.text
    async with doors.client("alice", made.json()["token"]) as narrowed:
        assert (await narrowed.get("/api/clientbundle")).status_code in {403, 404}
        assert (await narrowed.post(KEYS, json={"publicKey": new_key()})).status_code in {403, 404}


async def test_a_shell_puts_a_bundle_where_docker_looks(doors: Doors, tmp_path: Path) -> None:
    (doors.parts.folder.tls / "ca.pem").write_text("the server's authority\n")
    for name, data in (await bundle(doors, "alice")).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    ran = subprocess.run(
        ["sh", "env.sh", "tools"], cwd=tmp_path, env={"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    for place in (".config/containers/certs.d", ".docker/tls"):
        put = tmp_path / "home" / place / "registry.test:5443"
        assert f"into {put}\n" in ran.stdout
        assert (put / "ca.crt").read_bytes() == (tmp_path / "ca.pem").read_bytes()
        assert (put / "client.cert").read_bytes() == (tmp_path / "cert.pem").read_bytes()
        assert (put / "client.key").read_bytes() == (tmp_path / "key.pem").read_bytes()
        assert (put / "client.key").stat().st_mode & 0o777 == 0o600
    sourced = subprocess.run(
        ["bash", "-c", ". ./env.sh; echo $LADING_URL $DOCKER_CERT_PATH"], cwd=tmp_path, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    assert sourced.stdout == f"https://registry.test:5443 {tmp_path}\n"


# --- signing in ------------------------------------------------------------------------------------------------------


def shown(pair: KeyPair, verdict: str = "SUCCESS") -> ClientCertificate:
    """As nginx tells of it."""
    return ClientCertificate(quote(pair.certificate, safe=""), verdict)


def sign_in(doors: Doors, clock: Clock | None = None, **rules: Any) -> CertificateSignIn:
    return CertificateSignIn(
        doors.database.points, clock or SystemClock(), lambda: CertificateRules(enabled=True, **rules)
    )


async def who(signing: CertificateSignIn, pair: KeyPair, verdict: str = "SUCCESS") -> str:
    """The account that it signs in, or why it signs in nobody."""
    try:
        proof = await signing.find(shown(pair, verdict))
    except CertificateRefusedError as error:
        return error.message.partition(": ")[2]
    return "" if proof is None else proof.account.name


async def own_issuer(doors: Doors) -> Issuer:
    return issuer_of((await doors.parts.client_authority.authority()).pair)


UNKNOWN_KEY = "its key is not registered with an active account"
UNKNOWN_ISSUER = "no authority that this registry accepts issued it"


async def test_a_bundle_signs_in_until_its_key_is_deleted_or_its_account_is_not_active(doors: Doors) -> None:
    pair = pair_in(await bundle(doors, "alice"))
    signing = sign_in(doors)
    assert await who(signing, pair) == "alice"
    async with doors.client("admin") as admin:
        path = "/enzi/v0/accounts/alice"
        for is_active, wanted in ((False, UNKNOWN_KEY), (True, "alice")):
            assert (await admin.patch(path, json={"isActive": is_active})).status_code == 200
            assert await who(signing, pair) == wanted
        (known,) = (await admin.get(KEYS)).json()["accountPublicKeys"]
        assert (await admin.delete(f"{KEYS}/{known['id']}")).status_code == 204
    assert await who(signing, pair) == UNKNOWN_KEY


async def test_a_certificate_of_ours_counts_only_with_its_own_key_registered_by_whom_it_names(doors: Doors) -> None:
    ours = await own_issuer(doors)
    pair = ours.issue("alice")
    signing = sign_in(doors, name_from_cn=True)
    assert await who(signing, pair) == UNKNOWN_KEY
    async with doors.client("bob") as bob:
        made = await bob.post("/enzi/v0/accounts/bob/publicKeys", json={"publicKey": public_pem(pair)})
        assert made.status_code == 201
    assert await who(signing, pair) == UNKNOWN_KEY  # bob took no one's place


async def test_what_is_not_verified_is_refused_with_nginxs_word_for_it(doors: Doors) -> None:
    pair = pair_in(await bundle(doors, "alice"))
    signing = sign_in(doors)
    assert await who(signing, pair, "FAILED:certificate has expired") == "certificate has expired"
    for verdict in ("", "NONE", "success", "FAILED:"):
        assert await who(signing, pair, verdict) not in {"", "alice"}


@pytest.mark.parametrize(("moved", "wanted"), [(timedelta(0), "alice"), (timedelta(days=-1), "not now"), (timedelta(days=366), "not now")],
                         ids=["in-time", "too-early", "too-late"])  # fmt: skip
async def test_a_certificate_out_of_its_time_is_refused_whatever_the_handshake_said(
    doors: Doors, moved: timedelta, wanted: str
) -> None:
    pair = pair_in(await bundle(doors, "alice"))
    assert (await who(sign_in(doors, ManualClock(datetime.now(UTC) + moved)), pair)).endswith(wanted)


async def test_switched_off_certificates_are_not_looked_at(doors: Doors) -> None:
    pair = pair_in(await bundle(doors, "alice"))
    signing = CertificateSignIn(doors.database.points, SystemClock(), CertificateRules)
    assert await who(signing, pair) == ""
    assert await who(signing, pair, "FAILED:x") == ""


async def test_an_additional_authoritys_certificate_signs_in_by_its_registered_key(doors: Doors) -> None:
    await doors.parts.client_authority.authority()
    elsewhere = root("elsewhere")
    pair, also_of_alice = elsewhere.issue("Alice A. Example"), elsewhere.issue("alice")
    signing = sign_in(doors, additional=elsewhere.pem)
    assert await who(signing, pair) == UNKNOWN_KEY
    async with doors.client("alice") as alice:
        await alice.post(KEYS, json={"publicKey": public_pem(pair)})
    assert await who(signing, pair) == "alice"
    assert await who(signing, also_of_alice) == UNKNOWN_KEY
    assert await who(sign_in(doors), pair) == UNKNOWN_ISSUER  # the authority is accepted no longer


async def test_the_common_name_counts_only_when_the_setting_says_so(doors: Doors) -> None:
    elsewhere = root("elsewhere")
    off, on = [sign_in(doors, additional=elsewhere.pem, name_from_cn=is_on) for is_on in (False, True)]
    for name, wanted in (("alice", "alice"), ("nobody", UNKNOWN_KEY), ("Alice", UNKNOWN_KEY), ("alice\0", UNKNOWN_KEY)):
        pair = elsewhere.issue(name)
        assert await who(off, pair) == UNKNOWN_KEY
        assert await who(on, pair) == wanted
    async with doors.client("admin") as admin:
        await admin.patch("/enzi/v0/accounts/alice", json={"isActive": False})
    assert await who(on, elsewhere.issue("alice")) == UNKNOWN_KEY


async def test_organizations_sign_in_nowhere(doors: Doors) -> None:
    elsewhere = root("elsewhere")
    async with doors.client("admin") as admin:
        assert (await admin.post("/enzi/v0/accounts", json={"name": "acme", "isOrg": True})).status_code == 201
        assert (await admin.get("/api/clientbundle", params={"username": "acme"})).status_code == 405
    assert (
        await who(sign_in(doors, additional=elsewhere.pem, name_from_cn=True), elsewhere.issue("acme")) == UNKNOWN_KEY
    )


async def test_an_intermediate_counts_when_it_is_in_the_bundle_itself(doors: Doors) -> None:
    elsewhere = root("elsewhere")
    between = elsewhere.authority("between")
    pair = between.issue("alice")
    assert await who(sign_in(doors, additional=elsewhere.pem + between.pem, name_from_cn=True), pair) == "alice"
    assert await who(sign_in(doors, additional=elsewhere.pem, name_from_cn=True), pair) == UNKNOWN_ISSUER


@pytest.mark.parametrize(
    "text", ["", "x", "%", "A" * 30_000, "-----BEGIN CERTIFICATE-----"], ids=["empty", "x", "percent", "long", "begin"]
)
async def test_what_is_no_certificate_is_refused(doors: Doors, text: str) -> None:
    with pytest.raises(CertificateRefusedError):
        await sign_in(doors).find(ClientCertificate(text, "SUCCESS"))


async def test_a_robot_has_a_bundle_too(doors: Doors) -> None:
    robot = await doors.parts.users.create("ci", None, by=SYSTEM)
    assert robot.password_hash is None
    assert await who(sign_in(doors), pair_in(await bundle(doors, "admin", username="ci"))) == "ci"


# --- settings --------------------------------------------------------------------------------------------------------


async def test_authorities_are_set_and_told_and_nonsense_is_refused(doors: Doors) -> None:
    elsewhere, path = root("elsewhere"), "/api/v0/meta/settings"
    async with doors.client("admin") as admin:
        before = (await admin.get(path)).json()
        assert (before["clientCertAuthEnabled"], before["webTLSClientCA"]) == (True, "")
        for wrong in ("x", elsewhere.issue("alice").certificate, 1, None, True, "A" * 300_000):
            refused = await admin.post(path, json={"webTLSClientCA": wrong})
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "INVALID_SETTINGS")
        changed = await admin.post(path, json={"webTLSClientCA": elsewhere.pem, "clientCertAuthEnabled": False})
        assert changed.status_code == 202, changed.text
        after = (await admin.get(path)).json()
        assert (after["clientCertAuthEnabled"], after["webTLSClientCA"]) == (False, elsewhere.pem)
        assert doors.parts.live.current.client_authorities == elsewhere.pem
        assert (await admin.post(path, json={"webTLSClientCA": ""})).status_code == 202
    async with doors.database.read() as connection:
        told = await connection.execute(select(events.c.content).where(events.c.object_type == "SETTINGS"))
        assert "webTLSClientCA=1 certificates" in told.scalars().first()
