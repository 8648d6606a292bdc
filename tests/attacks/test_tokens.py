"""Attack rows 4 and 5: a token is ours or nothing, and opens what it names and nothing else."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from attacks.scenes import Hidden, bearer, claims_of, signer_of
from support.raw import Connection
from support.registries import OCI_MANIFEST, make_image, push_blob, push_image
from support.servers import PASSWORD, Server
from support.waiting import wait_for

THEIRS = ec.generate_private_key(ec.SECP256R1())
THEIR_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FOREVER = 4_000_000_000

Sign = Callable[[bytes], bytes]


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return text(value.to_bytes((value.bit_length() + 7) // 8))


def compact(header: Mapping[str, Any], claims: Mapping[str, Any], sign: Sign) -> str:
    """A JWT with this header, whatever it says. Source: RFC 7515, 3.1."""
    signed = f"{text(json.dumps(header).encode())}.{text(json.dumps(claims).encode())}"
    return f"{signed}.{text(sign(signed.encode()))}"


def by_their_key(data: bytes) -> bytes:
    r, s = decode_dss_signature(THEIRS.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def by_their_rsa_key(data: bytes) -> bytes:
    return THEIR_RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())


def by_secret(secret: bytes) -> Sign:
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


def their_jwk(kid: str) -> dict[str, str]:
    public = THEIRS.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "kid": kid, "x": number(public.x), "y": number(public.y)}


def their_certificate() -> str:
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(THEIRS.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(THEIRS, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(Encoding.DER)).decode()


def forgeries(real: str, kid: str, public: bytes) -> dict[str, str]:
    """Tokens that claim all that `real` does, by what is wrong with them. `public` is the signing key's public half, PEM."""
    head, payload, signature = real.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    more = text(json.dumps({**claims, "exp": FOREVER}).encode())
    trusted = {"alg": "ES256", "typ": "JWT", "kid": kid}
    jwk, chain = their_jwk(kid), [their_certificate()]
    none = {
        f"algorithm {word!r}": compact({"alg": word, "kid": kid}, claims, lambda _: b"")
        for word in ("none", "None", "NONE", "nOnE", "")
    }
    return (
        none
        | {
            "a signature by another key": compact(trusted, claims, by_their_key),
            "its own jwk under a trusted kid": compact({**trusted, "jwk": jwk}, claims, by_their_key),
            "its own jwk and no kid": compact({"alg": "ES256", "jwk": jwk}, claims, by_their_key),
            "a symmetric jwk": compact(
                {"alg": "HS256", "kid": kid, "jwk": {"kty": "oct", "k": text(b"known")}}, claims, by_secret(b"known")
            ),
            "a jku": compact({**trusted, "jku": "https://evil.example/keys"}, claims, by_their_key),
            "an x5u": compact({**trusted, "x5u": "https://evil.example/chain"}, claims, by_their_key),
            "a self-signed x5c": compact({**trusted, "x5c": chain}, claims, by_their_key),
            "a self-signed x5c and no kid": compact({"alg": "ES256", "x5c": chain}, claims, by_their_key),
            "HS256 by the public key": compact({"alg": "HS256", "kid": kid}, claims, by_secret(public)),
            "HS256 by the public key, stripped": compact(
                {"alg": "HS256", "kid": kid}, claims, by_secret(public.strip())
            ),
            "HS256 by the kid": compact({"alg": "HS256", "kid": kid}, claims, by_secret(kid.encode())),
            "HS256 by nothing": compact({"alg": "HS256", "kid": "../../../dev/null"}, claims, by_secret(b"")),
            "RS256": compact({"alg": "RS256", "kid": kid}, claims, by_their_rsa_key),
            "ES256 with a signature of HS256": compact(trusted, claims, by_secret(public)),
            "a signature of zeros": compact(trusted, claims, lambda _: bytes(64)),  # CVE-2022-21449
            "no signature": f"{head}.{payload}.",
            "half a signature": f"{head}.{payload}.{signature[: len(signature) // 2]}",
            "no third part": f"{head}.{payload}",
            "other claims under its signature": f"{head}.{more}.{signature}",
            "an unknown kid": compact({**trusted, "kid": "nobody"}, claims, by_their_key),
            "a kid that is a path": compact({**trusted, "kid": "../master.key"}, claims, by_their_key),
            "a kid that is no text": compact({**trusted, "kid": {"a": 1}}, claims, by_their_key),
            "a kid for SQL": compact({**trusted, "kid": "' OR 1=1 --"}, claims, by_their_key),
            "a critical extension": compact({**trusted, "crit": ["b64"], "b64": False}, claims, by_their_key),
            "no header": f".{payload}.{signature}",
            "a header that is no JSON": f"{text(b'no')}.{payload}.{signature}",
            "a header that is a list": f"{text(b'[]')}.{payload}.{signature}",
            "much of nothing": "a" * 20_000,
            "dots": "....",
        }
    )


FORGERIES = tuple(forgeries("e30.e30.e30", "kid", b""))


def opens(server: Server, hidden: Hidden, token: str) -> bool:
    """Whether the token gives alice's private image, or her identity. A refusal is 401 with a challenge, nothing else."""
    statuses = set()
    with server.client(name=None) as client:
        for path in ("/v2/", f"/v2/{hidden.name}/manifests/latest", f"/v2/{hidden.name}/blobs/{hidden.blob}"):
            answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
            if answer.status_code == 401:
                assert answer.headers["www-authenticate"].startswith('Bearer realm="https://')
                assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
            statuses.add(answer.status_code)
    assert statuses in ({200}, {401})
    return statuses == {200}


@pytest.mark.parametrize("kind", FORGERIES)
def test_attack_4_a_forged_token_opens_nothing(server: Server, hidden: Hidden, kind: str) -> None:
    """CVE-2025-24976 and its kin."""
    real = bearer(server, "alice", f"repository:{hidden.name}:pull")["Authorization"].split()[1]
    signer = signer_of(server)
    kid = json.loads(base64.urlsafe_b64decode(real.split(".")[0] + "=="))["kid"]
    forged = forgeries(real, kid, signer._keys[kid][0].as_pem(private=False))[kind]
    assert opens(server, hidden, real)
    assert not opens(server, hidden, forged)


def seconds_from_now(seconds: float) -> int:
    return int(time.time() + seconds)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"aud": "evil.example"}, False),
        ({"aud": ""}, False),
        ({"aud": None}, False),
        ({"aud": ["evil.example"]}, False),
        ({"iss": "evil.example"}, False),
        ({"iss": None}, False),
        ({"exp": -60}, False),
        ({"exp": None}, False),
        ({"exp": "4000000000"}, False),
        ({"exp": True}, False),
        ({"nbf": +300}, False),
        ({"nbf": None}, False),
        ({"iat": +300}, False),
        ({"epoch": 1}, False),
        ({"account": "00000000-0000-0000-0000-000000000000"}, False),
        ({"account": None}, False),
    ],
    ids=str,
)
def test_attack_5_a_token_for_another_service_or_time_or_person_opens_nothing(
    server: Server, hidden: Hidden, changes: dict[str, Any], *, good: bool
) -> None:
    """Signed by our own key: what another deployment, another moment or a mistake of ours would make. Times are from now on."""
    claims = claims_of(bearer(server, "alice", f"repository:{hidden.name}:pull"))
    moments = {"exp", "nbf", "iat"}
    for claim, value in changes.items():
        is_moment = claim in moments and isinstance(value, int) and not isinstance(value, bool)
        claims[claim] = seconds_from_now(value) if is_moment else value
        if value is None and claim != "account":
            del claims[claim]
    token = signer_of(server).sign(claims)
    if changes == {"account": None}:  # then it is anonymous, who may know the registry and not the repository
        with server.client(name=None) as client:
            path = f"/v2/{hidden.name}/manifests/latest"
            assert client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 401
    else:
        assert opens(server, hidden, token) == good


def test_attack_5_a_token_ends_also_where_it_was_seen_before(server: Server, hidden: Hidden) -> None:
    """A signature that was found good is remembered; the token's time is not."""
    claims = claims_of(bearer(server, "alice", f"repository:{hidden.name}:pull"))
    token = signer_of(server).sign({**claims, "exp": seconds_from_now(4)})
    headers = {"Authorization": f"Bearer {token}"}
    with server.client(name=None) as client:
        path = f"/v2/{hidden.name}/manifests/latest"
        wait_for(lambda: client.get(path, headers=headers).status_code == 401)


def test_attack_5_a_token_from_before_a_new_password_opens_nothing(server: Server, hidden: Hidden) -> None:
    token = bearer(server, "alice", f"repository:{hidden.name}:pull")["Authorization"].split()[1]
    assert opens(server, hidden, token)
    with server.client() as admin:
        for password in ("another horse battery", PASSWORD):  # the second, so that the next test finds what it knows
            form = {"oldPassword": "", "newPassword": password}
            assert admin.post("/enzi/v0/accounts/alice/changePassword", json=form).status_code == 200
    assert not opens(server, hidden, token)


def test_attack_5_what_is_no_bearer_token_is_none(server: Server, hidden: Hidden) -> None:
    with server.client(name="alice", secret=PASSWORD) as alice:
        access_token = alice.post("/api/v0/api_tokens", json={"tokenLabel": "ci"}).json()["token"]
        assert not opens(server, hidden, access_token)
        assert alice.get(f"/v2/{hidden.name}/manifests/latest").status_code == 401
        registry = bearer(server, "alice", f"repository:{hidden.name}:pull")
        alice.auth = httpx.Auth()
        assert alice.get("/api/v0/api_tokens", headers=registry).status_code == 401


# {near} is a repository of alice's that the token is for, {far} another of hers, whose name begins alike.
ELSEWHERE = {
    "/v2/{far}/manifests/latest": 401,
    "/v2/{far}/manifests/{digest}": 401,
    "/v2/{far}/blobs/{blob}": 401,
    "/v2/{far}/tags/list": 401,
    "/v2/{far}/referrers/{digest}": 401,
    "/v2/{near}/deeper/manifests/latest": 401,
    "/v2/bob/app/manifests/latest": 401,
    "/v2/{near}/../{far_name}/manifests/latest": 400,
    "/v2/{near}/manifests/../../{far_name}/manifests/latest": 400,
    "/v2/{near}/./../{far_name}/manifests/latest": 400,
    "/v2/{near}/%2e%2e/{far_name}/manifests/latest": 400,
    "/v2/{near}/%2E./{far_name}/manifests/latest": 400,
    "/v2/{near}%2f..%2f{far_name}/manifests/latest": 400,
    "/v2/{near}%2F..%2F{far_name}/manifests/latest": 400,
    "/v2/alice%2f{far_name}/manifests/latest": 400,
    "/v2/alice%252f{far_name}/manifests/latest": 400,
    "/v2/{near}/..;/{far_name}/manifests/latest": 400,
    "/v2/{near}\\..\\{far_name}/manifests/latest": 400,
    "/v2/{near}//../{far_name}/manifests/latest": 400,
    "/v2/alice//{far_name}/manifests/latest": 400,
    "//v2/{far}/manifests/latest": 404,
    "/v2/../v2/{far}/manifests/latest": 400,
    "/v2/{far}%00/manifests/latest": 400,
    "/v2/{near}%00{far_name}/manifests/latest": 400,
    "/v2/{near}%0a/manifests/latest": 400,
    "/v2/{upper}/manifests/latest": 400,
    "/v2/ALICE/{far_name}/manifests/latest": 400,
    "/v2/{far}./manifests/latest": 400,
    "/v2/{far}%20/manifests/latest": 400,
    "/v2/{far}/manifests/latest?scope=repository:{near}:pull": 401,
    "/v2/{far}/manifests/latest#/v2/{near}/manifests/latest": 401,
}


@pytest.mark.parametrize("path", ELSEWHERE)
def test_attack_5_a_token_for_one_repository_opens_no_other(server: Server, hidden: Hidden, path: str) -> None:
    near = hidden.name[:-1]  # the hidden one's name goes on where this one's ends
    token = bearer(server, "alice", f"repository:{near}:pull,push,delete")
    names = {"near": near, "far": hidden.name, "far_name": hidden.name.partition("/")[2], "upper": hidden.name.upper()}
    target = path.format(**names, digest=hidden.image.digest, blob=hidden.blob)
    with Connection(server) as connection:
        answer = connection.ask("GET", target, token)
    # nginx refuses what it can't read at all by itself, as 400, and a fragment is no part of a target.
    assert answer.status in {ELSEWHERE[path], 400}
    assert hidden.image.manifest not in answer.body
    assert hidden.image.layers[0] not in answer.body


@pytest.mark.parametrize(
    ("granted", "method", "path"),
    [
        ("pull", "PUT", "manifests/latest"),
        ("pull", "PUT", "manifests/{digest}"),
        ("pull", "DELETE", "manifests/latest"),
        ("pull", "DELETE", "manifests/{digest}"),
        ("pull", "DELETE", "blobs/{blob}"),
        ("pull", "POST", "blobs/uploads/"),
        ("pull", "POST", "blobs/uploads/?digest={blob}"),
        ("pull", "POST", "blobs/uploads/?mount={blob}"),
        ("pull,push", "DELETE", "manifests/latest"),
        ("pull,push", "DELETE", "manifests/{digest}"),
        ("pull,push", "DELETE", "blobs/{blob}"),
        ("delete", "GET", "manifests/latest"),
        ("delete", "GET", "blobs/{blob}"),
        ("push", "GET", "manifests/latest"),
        ("push", "HEAD", "blobs/{blob}"),
        ("push", "GET", "tags/list"),
        ("push", "GET", "referrers/{digest}"),
    ],
)
def test_attack_5_a_token_allows_the_actions_that_it_names(
    server: Server, hidden: Hidden, granted: str, method: str, path: str
) -> None:
    token = bearer(server, "alice", f"repository:{hidden.name}:{granted}")
    with server.client(name=None) as client:
        headers = {**token, "Content-Type": OCI_MANIFEST}
        target = f"/v2/{hidden.name}/{path.format(digest=hidden.image.digest, blob=hidden.blob)}"
        answer = client.request(
            method, target, content=b"" if method == "GET" else make_image().manifest, headers=headers
        )
        assert answer.status_code == 401
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
        left = client.get(
            f"/v2/{hidden.name}/manifests/latest", headers=bearer(server, "alice", f"repository:{hidden.name}:pull")
        )
    assert left.content == hidden.image.manifest


def test_attack_5_a_private_repository_is_mounted_from_by_who_may_pull_it_only(server: Server, hidden: Hidden) -> None:
    name = "bob/mounts"
    for scopes in (
        [f"repository:{name}:pull,push"],
        [f"repository:{name}:pull,push", f"repository:{hidden.name}:pull"],
    ):
        token = bearer(server, "bob", *scopes)
        with server.client(name=None) as client:
            params = {"mount": hidden.blob, "from": hidden.name}
            answer = client.post(f"/v2/{name}/blobs/uploads/", params=params, headers=token)
            assert answer.status_code in {202, 401}
            assert client.head(f"/v2/{name}/blobs/{hidden.blob}", headers=token).status_code == 404


def test_attack_5_nobody_is_granted_a_scope_by_asking_for_it(server: Server, hidden: Hidden) -> None:
    scopes = [
        f"repository:{hidden.name}:pull,push,delete,*",
        f"repository:{server.host}/{hidden.name}:*",
        f"repository(plugin):{hidden.name}:pull",
        f"repository:bob/../{hidden.name}:pull",
        "registry:catalog:*",
    ]
    with server.client(name=None) as client:
        for name in ("bob", None):
            token = bearer(server, name, *scopes)
            named = [item for item in claims_of(token)["access"] if item["type"] == "repository"]
            assert all(item["actions"] == [] for item in named)
            for path in ("manifests/latest", f"blobs/{hidden.blob}", "tags/list"):
                assert client.get(f"/v2/{hidden.name}/{path}", headers=token).status_code == 401
            listed = client.get("/v2/_catalog", headers=token)
            assert listed.status_code == (200 if name else 401)
            assert hidden.name not in listed.text


def test_attack_5_a_token_that_was_granted_does_not_outlive_the_right(server: Server, hidden: Hidden) -> None:
    """Bob pulls a public repository; it becomes private while his token is good."""
    name = f"{hidden.name}-public"
    image = make_image()
    with server.client(name="alice", secret=PASSWORD) as alice, server.client(name=None) as client:
        own = bearer(server, "alice", f"repository:{name}:pull,push")
        push_blob(client, name, image.layers[0], own)
        push_image(client, name, "latest", image, own)
        path = f"/api/v0/repositories/{name}"
        assert alice.patch(path, json={"visibility": "public"}).status_code == 200
        token = bearer(server, "bob", f"repository:{name}:pull")
        manifest = f"/v2/{name}/manifests/latest"
        assert client.get(manifest, headers=token).status_code == 200
        assert alice.patch(path, json={"visibility": "private"}).status_code == 200
        assert client.get(manifest, headers=token).status_code == 401
