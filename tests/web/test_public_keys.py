"""Public keys and client bundles over the REST API, and whom a certificate signs in: over both databases."""

import hashlib
import io
import json
import secrets
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import select

from lading.accounts.certificate_sign_in import CertificateRefusedError, CertificateRules, CertificateSignIn
from lading.app.boot import make_live_settings
from lading.cluster.site import SettingPinnedError
from lading.core.clock import Clock, SystemClock
from lading.core.errors import SettingsError
from lading.events.log import SYSTEM
from lading.events.tables import events
from lading.keys.authority import KeyPair
from lading.keys.server_certificate import AUTHORITY
from lading.settings import Settings, TlsSettings
from lading.web.exchange import ClientCertificate
from support.apps import PASSWORD, Doors
from support.certificates import Issuer, issuer_of, public_pem, root, self_signed
from support.clocks import ManualClock

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Scene:
    """The app, and two users of the test's own."""

    doors: Doors
    alice: str
    bob: str

    def client(self, name: str | None = None, secret: str = PASSWORD) -> httpx.AsyncClient:
        return self.doors.client(name, secret)

    @property
    def keys(self) -> str:
        """Where alice's public keys are."""
        return f"/enzi/v0/accounts/{self.alice}/publicKeys"


@pytest_asyncio.fixture(loop_scope="session")
async def scene(shared_doors: Doors) -> Scene:
    mark = secrets.token_hex(4)
    made = Scene(shared_doors, f"alice-{mark}", f"bob-{mark}")
    for name in (made.alice, made.bob):
        await shared_doors.parts.users.create(name, PASSWORD, by=SYSTEM)
    return made


def new_key() -> str:
    return public_pem(self_signed("x"))


async def bundle(scene: Scene, name: str, **query: str) -> dict[str, bytes]:
    async with scene.client(name) as client:
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


async def test_a_key_is_added_listed_renamed_and_deleted_and_each_is_an_event(scene: Scene) -> None:
    pem = new_key()
    async with scene.client(scene.alice) as alice:
        made = await alice.post(scene.keys, json={"publicKey": pem, "label": "laptop"})
        assert made.status_code == 201
        key = made.json()
        der = serialization.load_pem_public_key(pem.encode()).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        account = (await alice.get(f"/enzi/v0/accounts/{scene.alice}")).json()["id"]
        wanted = {"id": hashlib.sha256(der).hexdigest(), "accountID": account, "publicKey": pem, "certificates": []}
        assert key == {**wanted, "label": "laptop"}
        assert (await alice.get(scene.keys)).json() == {"accountPublicKeys": [key], "nextPageStart": ""}
        path = f"{scene.keys}/{key['id']}"
        assert (await alice.patch(path, json={"label": "old laptop"})).json() == {**wanted, "label": "old laptop"}
        assert (await alice.delete(path)).status_code == 204
        assert (await alice.get(scene.keys)).json()["accountPublicKeys"] == []
        for answer in (await alice.delete(path), await alice.patch(path, json={"label": ""})):
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NO_SUCH_PUBLIC_KEY")
    columns = (events.c.type, events.c.actor, events.c.object_id, events.c.object_name, events.c.content)
    async with scene.doors.database.read() as connection:
        told = await connection.execute(select(*columns).where(events.c.object_id == key["id"]))
        assert [tuple(row) for row in told] == [
            (kind, account, key["id"], scene.alice, label)
            for kind, label in (("CREATE", "laptop"), ("UPDATE", "old laptop"), ("DELETE", "old laptop"))
        ]


async def test_any_user_reads_keys_and_only_the_account_itself_and_administrators_write(scene: Scene) -> None:
    pem = new_key()
    async with scene.client(scene.alice) as alice, scene.client(scene.bob) as bob, scene.client("admin") as admin:
        made = (await admin.post(scene.keys, json={"publicKey": pem})).json()
        path = f"{scene.keys}/{made['id']}"
        assert (await bob.get(scene.keys)).json() == (await alice.get(scene.keys)).json()
        for method, target, body in (
            ("POST", scene.keys, {"publicKey": new_key()}),
            ("PATCH", path, {"label": "x"}),
            ("DELETE", path, None),
        ):
            assert (await bob.request(method, target, json=body)).status_code == 403
        assert (await bob.get("/enzi/v0/accounts/nobody/publicKeys")).status_code == 404
        assert (await bob.post("/enzi/v0/accounts/nobody/publicKeys", json={"publicKey": pem})).status_code == 404
        assert (await alice.delete(path)).status_code == 204
    async with scene.client() as anonymous:
        assert (await anonymous.get(scene.keys)).status_code == 401


async def test_keys_come_in_pages(scene: Scene) -> None:
    async with scene.client(scene.alice) as alice:
        made = [(await alice.post(scene.keys, json={"publicKey": new_key()})).json()["id"] for _ in range(5)]
        found, start = [], ""
        for _ in range(3):
            page = (await alice.get(scene.keys, params={"limit": 2, "start": start})).json()
            found += [item["id"] for item in page["accountPublicKeys"]]
            start = page["nextPageStart"]
        assert (found, start) == (sorted(made), "")


async def test_a_key_may_come_in_a_certificate_and_brings_it_along(scene: Scene) -> None:
    pair, other = self_signed("elsewhere"), self_signed("other")
    async with scene.client(scene.alice) as alice:
        made = (await alice.post(scene.keys, json={"publicKey": pair.certificate, "label": "mine"})).json()
        assert made["publicKey"] == public_pem(pair)
        assert made["certificates"] == [{"label": "mine", "cert": pair.certificate}]
        await alice.delete(f"{scene.keys}/{made['id']}")
        form: dict[str, Any] = {
            "publicKey": public_pem(pair),
            "certificates": [{"label": "a", "cert": pair.certificate}],
        }
        assert (await alice.post(scene.keys, json=form)).json()["certificates"] == form["certificates"]
        form = {"publicKey": public_pem(other), "certificates": form["certificates"]}
        wrong = await alice.post(scene.keys, json=form)
        assert (wrong.status_code, "not one of the public key" in wrong.text) == (400, True)


async def test_a_key_names_one_account(scene: Scene) -> None:
    pem = new_key()
    async with scene.client(scene.alice) as alice, scene.client(scene.bob) as bob:
        assert (await alice.post(scene.keys, json={"publicKey": pem})).status_code == 201
        for client, name in ((alice, scene.alice), (bob, scene.bob)):
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
async def test_what_is_no_good_public_key_is_refused(scene: Scene, key: str, status: int) -> None:
    made: Mapping[str, Callable[[], str]] = {
        "weak": weak, "rsa": lambda: weak(2048), "private": lambda: self_signed("x").key
    }  # fmt: skip
    if key == "small curve":
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        small = ec.generate_private_key(ec.SECP192R1()).public_key()
        key = small.public_bytes(serialization.Encoding.PEM, form).decode()
    async with scene.client(scene.alice) as alice:
        answer = await alice.post(scene.keys, json={"publicKey": made[key]() if key in made else key})
    assert answer.status_code == status, answer.text
    assert "PRIVATE" not in answer.text


# --- bundles ---------------------------------------------------------------------------------------------------------


async def test_a_bundle_holds_what_the_reference_lists_and_its_key_is_registered(scene: Scene) -> None:
    files = await bundle(scene, scene.alice)
    listed = {"ca.pem", "cert.pem", "cert.pub", "key.pem", "env.sh", "env.ps1", "env.cmd", "meta.json"}
    assert set(files) == listed | {f"tls/docker/{name}.pem" for name in ("ca", "cert", "key")}
    pair = pair_in(files)
    key = serialization.load_pem_private_key(pair.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert files["cert.pub"].decode() == public_pem(pair)
    assert key.public_key() == pair.leaf.public_key()
    async with scene.doors.database.read() as connection:
        (authority,) = await scene.doors.parts.secrets.list_active(connection, AUTHORITY)
    assert files["ca.pem"].decode() == files["tls/docker/ca.pem"].decode() == authority.public
    assert (files["tls/docker/cert.pem"], files["tls/docker/key.pem"]) == (files["cert.pem"], files["key.pem"])
    assert json.loads(files["meta.json"])["Endpoints"]["docker"]["Host"] == "tcp://registry.test:5443"
    assert all(
        b"registry.test:5443" in files[name] and b"DOCKER_HOST=" not in files[name]
        for name in ("env.sh", "env.ps1", "env.cmd")
    )
    async with scene.client(scene.alice) as alice:
        (known,) = (await alice.get(scene.keys)).json()["accountPublicKeys"]
    assert known["publicKey"] == files["cert.pub"].decode()
    assert known["label"].startswith("Generated on 20")
    assert known["certificates"] == [{"label": "client bundle", "cert": files["cert.pem"].decode()}]


async def test_a_bundles_certificate_is_for_clients_only_and_for_as_long_as_the_settings_say(scene: Scene) -> None:
    leaf = pair_in(await bundle(scene, scene.alice)).leaf
    extensions = leaf.extensions
    (common_name,) = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert common_name.value == scene.alice
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    with pytest.raises(x509.ExtensionNotFound):
        extensions.get_extension_for_class(x509.SubjectAlternativeName)
    life = leaf.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=364) < life <= timedelta(days=365)


async def test_a_bundle_has_a_label_and_administrators_make_them_for_others(scene: Scene) -> None:
    files = await bundle(scene, "admin", username=scene.alice, label="for the build server")
    async with scene.client(scene.bob) as bob:
        (known,) = (await bob.get(scene.keys)).json()["accountPublicKeys"]
        assert known["label"] == "for the build server"
        refused = await bob.get("/api/clientbundle", params={"username": scene.alice})
        nobody = await bob.get("/api/clientbundle", params={"username": "nobody"})
        assert refused.status_code == nobody.status_code == 404
        assert refused.text.replace(scene.alice, "nobody")[:80] == nobody.text[:80]
    assert pair_in(files).leaf.subject.rfc4514_string() == f"CN={scene.alice}"


async def test_nobody_in_particular_gets_no_bundle_and_head_makes_none(scene: Scene) -> None:
    async with scene.client() as anonymous, scene.client(scene.alice) as alice:
        assert (await anonymous.get("/api/clientbundle")).status_code == 401
        assert (await alice.head("/api/clientbundle")).status_code == 405
        assert (await alice.get(scene.keys)).json()["accountPublicKeys"] == []


async def test_a_narrowed_access_token_gets_no_bundle_that_may_more(scene: Scene) -> None:
    async with scene.client(scene.alice) as alice:
        narrowing = [{"repository": f"{scene.alice}/one", "accessLevel": "admin"}]
        made = await alice.post("/api/v0/api_tokens", json={"tokenLabel": "x", "repositories": narrowing})
        assert made.status_code == 200, made.text
    async with scene.client(scene.alice, made.json()["token"]) as narrowed:
        assert (await narrowed.get("/api/clientbundle")).status_code in {403, 404}
        assert (await narrowed.post(scene.keys, json={"publicKey": new_key()})).status_code in {403, 404}


async def test_a_shell_puts_a_bundle_where_docker_looks(scene: Scene, tmp_path: Path) -> None:
    for name, data in (await bundle(scene, scene.alice)).items():
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


def sign_in(scene: Scene, clock: Clock | None = None, **rules: Any) -> CertificateSignIn:
    return CertificateSignIn(
        scene.doors.database.points, clock or SystemClock(), lambda: CertificateRules(enabled=True, **rules)
    )


async def who(signing: CertificateSignIn, pair: KeyPair, verdict: str = "SUCCESS") -> str:
    """The account that it signs in, or why it signs in nobody."""
    try:
        proof = await signing.find(shown(pair, verdict))
    except CertificateRefusedError as error:
        return error.message.partition(": ")[2]
    return "" if proof is None else proof.account.name


async def own_issuer(scene: Scene) -> Issuer:
    return issuer_of((await scene.doors.parts.client_authority.authority()).pair)


UNKNOWN_KEY = "its key is not registered with an active account"
UNKNOWN_ISSUER = "no authority that this registry accepts issued it"


async def test_a_bundle_signs_in_until_its_key_is_deleted_or_its_account_is_not_active(scene: Scene) -> None:
    pair = pair_in(await bundle(scene, scene.alice))
    signing = sign_in(scene)
    assert await who(signing, pair) == scene.alice
    async with scene.client("admin") as admin:
        path = f"/enzi/v0/accounts/{scene.alice}"
        for is_active, wanted in ((False, UNKNOWN_KEY), (True, scene.alice)):
            assert (await admin.patch(path, json={"isActive": is_active})).status_code == 200
            assert await who(signing, pair) == wanted
        (known,) = (await admin.get(scene.keys)).json()["accountPublicKeys"]
        assert (await admin.delete(f"{scene.keys}/{known['id']}")).status_code == 204
    assert await who(signing, pair) == UNKNOWN_KEY


async def test_a_certificate_of_ours_counts_only_with_its_own_key_registered_by_whom_it_names(scene: Scene) -> None:
    ours = await own_issuer(scene)
    pair = ours.issue(scene.alice)
    signing = sign_in(scene, name_from_cn=True)
    assert await who(signing, pair) == UNKNOWN_KEY
    async with scene.client(scene.bob) as bob:
        made = await bob.post(f"/enzi/v0/accounts/{scene.bob}/publicKeys", json={"publicKey": public_pem(pair)})
        assert made.status_code == 201
    assert await who(signing, pair) == UNKNOWN_KEY  # bob took no one's place


async def test_what_is_not_verified_is_refused_with_nginxs_word_for_it(scene: Scene) -> None:
    pair = pair_in(await bundle(scene, scene.alice))
    signing = sign_in(scene)
    assert await who(signing, pair, "FAILED:certificate has expired") == "certificate has expired"
    for verdict in ("", "NONE", "success", "FAILED:"):
        assert await who(signing, pair, verdict) not in {"", scene.alice}


@pytest.mark.parametrize(
    ("moved", "wanted"),
    [(timedelta(0), ""), (timedelta(days=-1), "not now"), (timedelta(days=366), "not now")],
    ids=["in-time", "too-early", "too-late"],
)
async def test_a_certificate_out_of_its_time_is_refused_whatever_the_handshake_said(
    scene: Scene, moved: timedelta, wanted: str
) -> None:
    pair = pair_in(await bundle(scene, scene.alice))
    said = await who(sign_in(scene, ManualClock(datetime.now(UTC) + moved)), pair)
    assert said.endswith(wanted or scene.alice)


async def test_switched_off_certificates_are_not_looked_at(scene: Scene) -> None:
    pair = pair_in(await bundle(scene, scene.alice))
    signing = CertificateSignIn(scene.doors.database.points, SystemClock(), CertificateRules)
    assert await who(signing, pair) == ""
    assert await who(signing, pair, "FAILED:x") == ""


async def test_an_additional_authoritys_certificate_signs_in_by_its_registered_key(scene: Scene) -> None:
    await scene.doors.parts.client_authority.authority()
    elsewhere = root("elsewhere")
    pair, also_of_alice = elsewhere.issue("Alice A. Example"), elsewhere.issue(scene.alice)
    signing = sign_in(scene, additional=elsewhere.pem)
    assert await who(signing, pair) == UNKNOWN_KEY
    async with scene.client(scene.alice) as alice:
        await alice.post(scene.keys, json={"publicKey": public_pem(pair)})
    assert await who(signing, pair) == scene.alice
    assert await who(signing, also_of_alice) == UNKNOWN_KEY
    assert await who(sign_in(scene), pair) == UNKNOWN_ISSUER  # the authority is accepted no longer


async def test_the_common_name_counts_only_when_the_setting_says_so(scene: Scene) -> None:
    elsewhere = root("elsewhere")
    off, on = [sign_in(scene, additional=elsewhere.pem, name_from_cn=is_on) for is_on in (False, True)]
    wrong = ("nobody", scene.alice.upper(), f"{scene.alice}\0")
    for name, wanted in ((scene.alice, scene.alice), *((name, UNKNOWN_KEY) for name in wrong)):
        pair = elsewhere.issue(name)
        assert await who(off, pair) == UNKNOWN_KEY
        assert await who(on, pair) == wanted
    async with scene.client("admin") as admin:
        await admin.patch(f"/enzi/v0/accounts/{scene.alice}", json={"isActive": False})
    assert await who(on, elsewhere.issue(scene.alice)) == UNKNOWN_KEY


async def test_organizations_sign_in_nowhere(scene: Scene) -> None:
    elsewhere, name = root("elsewhere"), f"{scene.alice}-org"
    async with scene.client("admin") as admin:
        assert (await admin.post("/enzi/v0/accounts", json={"name": name, "isOrg": True})).status_code == 201
        assert (await admin.get("/api/clientbundle", params={"username": name})).status_code == 405
    assert await who(sign_in(scene, additional=elsewhere.pem, name_from_cn=True), elsewhere.issue(name)) == UNKNOWN_KEY


async def test_an_intermediate_counts_when_it_is_in_the_bundle_itself(scene: Scene) -> None:
    elsewhere = root("elsewhere")
    between = elsewhere.authority("between")
    pair = between.issue(scene.alice)
    assert await who(sign_in(scene, additional=elsewhere.pem + between.pem, name_from_cn=True), pair) == scene.alice
    assert await who(sign_in(scene, additional=elsewhere.pem, name_from_cn=True), pair) == UNKNOWN_ISSUER


@pytest.mark.parametrize(
    "text", ["", "x", "%", "A" * 30_000, "-----BEGIN CERTIFICATE-----"], ids=["empty", "x", "percent", "long", "begin"]
)
async def test_what_is_no_certificate_is_refused(scene: Scene, text: str) -> None:
    with pytest.raises(CertificateRefusedError):
        await sign_in(scene).find(ClientCertificate(text, "SUCCESS"))


async def test_who_has_no_password_may_have_a_bundle(scene: Scene) -> None:
    name = f"{scene.alice}-ci"
    await scene.doors.parts.users.create(name, None, by=SYSTEM)
    assert await who(sign_in(scene), pair_in(await bundle(scene, "admin", username=name))) == name


# --- settings --------------------------------------------------------------------------------------------------------


async def test_authorities_are_set_and_told_and_nonsense_is_refused(scene: Scene) -> None:
    elsewhere, path = root("elsewhere"), "/api/v0/meta/settings"
    async with scene.client("admin") as admin:
        before = (await admin.get(path)).json()
        assert (before["clientCertAuthEnabled"], before["webTLSClientCA"]) == (True, "")
        for wrong in ("x", elsewhere.issue(scene.alice).certificate, 1, None, True, "A" * 300_000):
            refused = await admin.post(path, json={"webTLSClientCA": wrong})
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "INVALID_SETTINGS")
        changed = await admin.post(path, json={"webTLSClientCA": elsewhere.pem, "clientCertAuthEnabled": False})
        assert changed.status_code == 202, changed.text
        after = (await admin.get(path)).json()
        assert (after["clientCertAuthEnabled"], after["webTLSClientCA"]) == (False, elsewhere.pem)
        assert scene.doors.parts.live.current.client_authorities == elsewhere.pem
        back = {"webTLSClientCA": "", "clientCertAuthEnabled": True}
        assert (await admin.post(path, json=back)).status_code == 202
    async with scene.doors.database.read() as connection:
        told = await connection.execute(select(events.c.content).where(events.c.object_type == "SETTINGS"))
        assert any("webTLSClientCA=1 certificates" in content for content in told.scalars())


async def test_a_file_of_authorities_pins_the_setting(scene: Scene, tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "authorities.pem", root("elsewhere").pem
    file.write_text(elsewhere)
    settings = Settings(tls=TlsSettings(client_authorities=file, client_certificates=False))
    live = make_live_settings(scene.doors.database, SystemClock(), settings)
    assert (live.current.client_certificates, live.current.client_authorities) == (False, elsewhere)
    with pytest.raises(SettingPinnedError, match=r"tls\.client_authorities"):
        live.check({"webTLSClientCA": ""})
    for text in ("x", None):
        file.write_text(text) if text else file.unlink()
        with pytest.raises(SettingsError, match=r"tls\.client_authorities"):
            make_live_settings(scene.doors.database, SystemClock(), settings)
