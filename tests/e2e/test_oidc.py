"""Sign-in by real OpenID providers, the browser played by httpx: who comes in, as whom, into which teams, and who does not."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from lading.accounts.oidc_routes import PENDING_COOKIE
from lading.accounts.oidc_sign_in import _CONTEXT
from lading.web.cookies import CSRF_COOKIE, SESSION_COOKIE
from support.apps import PASSWORD, SERVICE, Doors
from support.openid import OpenIdProviders, sign_in_there

ENZI = "/enzi/v0/accounts"
CONFIG = "/enzi/v0/config/auth/oidc"
US = f"https://{SERVICE}"
only_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)  # one test shows that both do


@dataclass(frozen=True)
class World:
    """The app, signing in by the providers `first` and `second`; organization `acme` has the teams `builders` and `readers`."""

    doors: Doors
    there: OpenIdProviders

    def browser(self) -> httpx.AsyncClient:
        """A browser, which reaches the app in this process and the providers outside of it."""
        context = httpx.create_ssl_context()
        context.load_verify_locations(cadata=self.there.authority.pem)
        mounts = {US: httpx.ASGITransport(self.doors._answer)}
        return httpx.AsyncClient(mounts=mounts, verify=context, timeout=30)

    async def admin(self, method: str, path: str, **more: Any) -> Any:
        async with self.doors.client("admin") as admin:
            answer = await admin.request(method, path, **more)
        assert answer.status_code in {200, 201, 204}, answer.text
        return answer.json() if answer.content else None

    async def configure(self, name: str, **more: Any) -> None:
        await self.admin("PUT", f"{CONFIG}/{name}", json=self.there.settings(name, **more))

    async def link(self, team: str, group: str, *, on: bool = True) -> None:
        path = f"{ENZI}/acme/teams/{team}/groupLinkConfig"
        await self.admin("PUT", path, json={"enableLink": on, "groupName": group})

    async def begin(self, browser: httpx.AsyncClient, name: str = "first", then: str = "/") -> httpx.Response:
        return await browser.get(f"{US}/oidc/{name}/login", params={"next": then})

    async def back(self, browser: httpx.AsyncClient, subject: str, name: str = "first") -> str:
        """The address at which the provider sends the browser back to us."""
        begun = await self.begin(browser, name)
        assert begun.status_code == 303, begun.text
        answer = await sign_in_there(browser, begun.headers["location"], subject)
        return answer.headers["location"]

    async def sign_in(self, browser: httpx.AsyncClient, subject: str, name: str = "first") -> httpx.Response:
        return await browser.get(await self.back(browser, subject, name))

    async def who(self, browser: httpx.AsyncClient) -> Mapping[str, Any] | None:
        answer = await browser.get(f"{US}/id/")
        return answer.json() if answer.status_code == 200 else None

    async def teams(self, name: str) -> list[str]:
        async with self.doors.client("admin") as admin:
            answer = await admin.get(f"{ENZI}/acme/members/{name}/teams")
        return [item["team"]["name"] for item in answer.json()["memberTeams"]] if answer.status_code == 200 else []


@pytest.fixture
def people(openid_providers: OpenIdProviders) -> Iterator[OpenIdProviders]:
    openid_providers.put("s-erika", preferred_username="Erika", name="Erika M.", groups=["devs", "staff"])
    openid_providers.put("s-bob", preferred_username="bob", name="Another Bob", groups=["devs"])
    yield openid_providers
    openid_providers.people.write_text("{}")


@pytest.fixture
async def world(doors: Doors, people: OpenIdProviders) -> World:
    world = World(doors, people)
    await world.admin("POST", ENZI, json={"name": "acme", "isOrg": True})
    for team in ("builders", "readers"):
        await world.admin("POST", f"{ENZI}/acme/teams", json={"name": team})
    for name in ("first", "second"):
        await world.configure(name)
    return world


async def test_a_provider_signs_in_and_groups_become_teams_until_the_group_is_dropped(world: World) -> None:
    await world.link("builders", "devs")
    await world.link("readers", "nobody-here")
    async with world.browser() as browser:
        answer = await world.sign_in(browser, "s-erika")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert PENDING_COOKIE not in browser.cookies
        assert {SESSION_COOKIE, CSRF_COOKIE} <= set(browser.cookies)
        told = await world.who(browser)
        assert told is not None
        assert (told["name"], told["fullName"], told["isImported"], told["isAdmin"]) == (
            "erika",
            "Erika M.",
            True,
            False,
        )
        assert await world.teams("erika") == ["builders"]
        # By hand nobody takes her out: the provider says who is in.
        async with world.doors.client("admin") as admin:
            removed = await admin.delete(f"{ENZI}/acme/teams/builders/members/erika")
        assert (removed.status_code, removed.json()["errors"][0]["code"]) == (409, "MEMBER_IS_SYNCED")
        world.there.put("s-erika", preferred_username="renamed", name="Erika M.", groups=["nobody-here"])
        assert (await world.sign_in(browser, "s-erika")).status_code == 303
        assert await world.teams("erika") == ["readers"]
        world.there.put("s-erika", preferred_username="renamed", name="Erika M.")
        assert (await world.sign_in(browser, "s-erika")).status_code == 303
        assert await world.teams("erika") == []
    found = (await world.admin("GET", "/api/v0/events", params={"objectType": "MEMBER"}))["events"]
    assert [(item["type"], item["object"]["content"]) for item in found] == [
        ("DELETE", "member of acme/readers"),
        ("CREATE", "member of acme/readers"),
        ("DELETE", "member of acme/builders"),
        ("CREATE", "member of acme/builders"),
    ]


@only_sqlite
async def test_two_providers_are_kept_apart(world: World) -> None:
    await world.link("builders", "second:devs")
    world.there.put("s-otto", preferred_username="otto", groups=["devs", "second:devs"])
    async with world.browser() as erika, world.browser() as otto, world.browser() as impostor:
        assert (await world.begin(erika, "second")).headers["location"].startswith(world.there.issuers["second"])
        assert (await world.sign_in(erika, "s-erika", "second")).status_code == 303
        assert (await world.sign_in(otto, "s-otto", "first")).status_code == 303
        assert (await world.teams("erika"), await world.teams("otto")) == (["builders"], [])
        # The same subject at the other provider is another person, who can't have the name.
        refused = await world.sign_in(impostor, "s-erika", "first")
        assert refused.status_code == 401
        assert "the name erika is taken" in refused.text
        assert await world.who(impostor) is None


@only_sqlite
async def test_names_of_other_accounts_are_never_taken_over(world: World) -> None:
    for name in ("bob", "acme"):
        world.there.put("s-bob", preferred_username=name, groups=[])
        async with world.browser() as browser:
            refused = await world.sign_in(browser, "s-bob")
            assert refused.status_code == 401
            assert f"the name {name} is taken" in refused.text
            assert refused.headers["content-type"].startswith("text/plain")
            assert SESSION_COOKIE not in browser.cookies
    world.there.put("s-bob", preferred_username="bob@example.com", groups=[])
    async with world.browser() as browser:
        assert "can't be an account's name" in (await world.sign_in(browser, "s-bob")).text


@only_sqlite
async def test_only_what_this_browser_began_and_only_once_signs_in(world: World) -> None:
    async with world.browser() as browser, world.browser() as victim:
        back = await world.back(browser, "s-erika")
        url = httpx.URL(back)
        kept = browser.cookies[PENDING_COOKIE]
        pending = {"Cookie": f"{PENDING_COOKIE}={kept}"}
        # Somebody else's browser, which began nothing or something else, is not signed in as the one who lured it there.
        assert (await victim.get(back)).status_code == 401
        await world.begin(victim)
        assert "not to what this browser asked" in (await victim.get(back)).text
        async with world.doors.client() as bare:
            for wrong in (
                url.copy_set_param("state", "x"),
                url.copy_remove_param("state"),
                url.copy_set_param("code", "x"),
                url.copy_set_param("iss", "https://evil.example"),
                url.copy_remove_param("iss"),
                url.copy_set_param("error", "access_denied<script>"),
                url.copy_with(path="/oidc/second/callback"),
            ):
                refused = await bare.get(wrong, headers=pending)
                assert refused.status_code == 401, wrong
                assert SESSION_COOKIE not in refused.cookies
            for cookie in (kept[:-8], "AAAA", "x" * 5000, "", kept.swapcase()):
                tampered = await bare.get(back, headers={"Cookie": f"{PENDING_COOKIE}={cookie}"})
                assert tampered.status_code == 401
                assert "did not begin here" in tampered.text
            assert (await bare.get(back, headers=pending)).status_code == 303
            replayed = await bare.get(back, headers=pending)
            assert replayed.status_code == 401
            assert "does not know this code" in replayed.text


@only_sqlite
async def test_the_token_must_be_for_this_sign_in_and_the_verifier_this_browsers(world: World) -> None:
    secrets = world.doors.parts.secrets
    for part, sentence in (("nonce", "token does not hold"), ("verifier", "does not know this code")):
        async with world.browser() as browser:
            back = await world.back(browser, "s-erika")
            kept = json.loads(secrets.open_text(browser.cookies[PENDING_COOKIE], _CONTEXT))
            kept[part] = "A" * len(kept[part])
            cookie = f"{PENDING_COOKIE}={secrets.seal_text(json.dumps(kept), _CONTEXT)}"
            async with world.doors.client() as bare:
                refused = await bare.get(back, headers={"Cookie": cookie})
        assert refused.status_code == 401
        assert sentence in refused.text


@only_sqlite
async def test_who_is_shut_out_here_is_not_let_in_and_first_sign_ins_can_be_refused(world: World) -> None:
    async with world.browser() as browser, world.browser() as other:
        assert (await world.sign_in(browser, "s-erika")).status_code == 303
        await world.admin("PATCH", f"{ENZI}/erika", json={"isActive": False})
        assert await world.who(browser) is None
        refused = await world.sign_in(browser, "s-erika")
        assert (refused.status_code, "shut out" in refused.text) == (401, True)
        await world.admin("PATCH", f"{ENZI}/erika", json={"isActive": True})
        await world.configure("first", userCreation=False)
        assert (await world.sign_in(browser, "s-erika")).status_code == 303
        world.there.put("s-new", preferred_username="new", groups=[])
        refused = await world.sign_in(other, "s-new")
        assert (refused.status_code, "no account here" in refused.text) == (401, True)
    found = (await world.admin("GET", "/api/v0/events", params={"eventType": "CREATE", "objectType": "ACCOUNT"}))[
        "events"
    ]
    assert "new" not in [item["object"].get("name") for item in found]


@only_sqlite
async def test_a_group_makes_administrators_and_unmakes_them(world: World) -> None:
    await world.configure("first", adminGroup="staff", usernameDomain="example.com")
    world.there.put("s-erika", preferred_username="erika@example.com", groups="staff")
    async with world.browser() as browser:
        assert (await world.sign_in(browser, "s-erika")).status_code == 303
        told = await world.who(browser)
        assert told is not None
        assert (told["name"], told["isAdmin"]) == ("erika", True)
        assert (await browser.get(f"{US}{CONFIG}")).status_code == 200
        world.there.put("s-erika", preferred_username="erika@example.com", groups=["devs"])
        assert (await world.sign_in(browser, "s-erika")).status_code == 303
        assert (await browser.get(f"{US}{CONFIG}")).status_code == 403


@only_sqlite
async def test_new_keys_of_a_provider_are_learnt(world: World) -> None:
    async with world.browser() as browser, world.browser() as fresh:
        assert (await world.sign_in(browser, "s-erika", "second")).status_code == 303
        world.there.rotate("second")
        provider = (await world.doors.parts.oidc.list())["second"]
        assert provider._keys is not None
        provider._keys = (provider._keys[0], provider._keys[1] - 11)  # some seconds pass
        assert (await world.sign_in(fresh, "s-erika", "second")).status_code == 303


@only_sqlite
async def test_a_provider_that_can_not_be_asked_gives_a_clear_503(world: World) -> None:
    settings = world.there.settings("first")
    settings |= {"issuer": "https://localhost:9", "allowPrivateAddresses": True}
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "gone": ({}, "localhost can't be reached"),
        "private": ({"issuer": world.there.issuers["first"], "allowPrivateAddresses": False}, "nobody allowed that"),
        "untrusted": ({"issuer": world.there.issuers["first"], "rootCerts": ""}, "a certificate that is not trusted"),
        "other": ({"issuer": world.there.issuers["first"] + "/"}, "its issuer is"),
        "nowhere": ({"issuer": world.there.issuers["first"] + "/nowhere"}, "answers with status 404"),
    }
    async with world.browser() as browser:
        for name, (more, sentence) in cases.items():
            await world.admin("PUT", f"{CONFIG}/{name}", json={**settings, **more})
            answer = await world.begin(browser, name)
            assert answer.status_code == 503, answer.text
            assert sentence in answer.text
        assert (await world.begin(browser, "unheard-of")).status_code == 404
        wrong = {**world.there.settings("first"), "clientSecret": "wrong"}
        await world.admin("PUT", f"{CONFIG}/first", json=wrong)
        answer = await world.sign_in(browser, "s-erika")
        assert (answer.status_code, "invalid_client" in answer.text) == (503, True)
        assert "wrong" not in answer.text


@only_sqlite
async def test_next_leads_to_local_places_only(world: World) -> None:
    for wanted, place in (
        ("/repositories?x=1", "/repositories?x=1"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
    ):
        async with world.browser() as browser:
            begun = await world.begin(browser, then=wanted)
            answer = await sign_in_there(browser, begun.headers["location"], "s-erika")
            assert (await browser.get(answer.headers["location"])).headers["location"] == place


@only_sqlite
async def test_settings_are_an_administrators_and_secrets_stay_inside(world: World) -> None:
    shown = await world.admin("GET", f"{CONFIG}/first")
    assert (shown["clientSecret"], shown["hasClientSecret"], shown["redirectPath"]) == (
        "",
        True,
        "/oidc/first/callback",
    )
    assert "secret of" not in json.dumps(await world.admin("GET", CONFIG))
    document = {key: value for key, value in world.there.settings("first").items() if key != "clientSecret"}
    assert (await world.admin("PUT", f"{CONFIG}/first", json=document))["hasClientSecret"] is True
    other = {**document, "clientID": "another"}
    assert (await world.admin("PUT", f"{CONFIG}/first", json=other))["hasClientSecret"] is False
    async with world.doors.client("admin") as admin, world.doors.client("alice") as alice:
        for method, path in (("GET", CONFIG), ("GET", f"{CONFIG}/first"), ("DELETE", f"{CONFIG}/first")):
            assert (await alice.request(method, path)).status_code == 403
        assert (await alice.put(f"{CONFIG}/first", json=document)).status_code == 403
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("first", {"issuer": "https://evil.example"}),
            ("new", {"issuer": "http://localhost"}),
            ("new", {"issuer": "https://user:x@localhost"}),
            ("new", {"issuer": "https://local\u00e9host"}),
            ("new", {"issuer": "https://["}),
            ("new", {"clientID": ""}),
            ("new", {"rootCerts": "x"}),
            ("new", {"scopes": ["a b"]}),
            ("new", {"adminGroup": "x", "groupsClaim": ""}),
            ("new", {"unheard": 1}),
            ("New_", {}),
        ]
        for name, more in wrong:
            answer = await admin.put(f"{CONFIG}/{name}", json={**document, **more})
            assert answer.status_code == 400, (name, more)
        ways = (await world.doors.client().get("/login")).json()
        assert [item["url"] for item in ways["providers"]] == ["/oidc/first/login", "/oidc/second/login"]


@only_sqlite
async def test_a_deleted_provider_signs_nobody_in_and_its_name_stays_its_issuers(world: World) -> None:
    async with world.browser() as browser:
        assert (await world.sign_in(browser, "s-erika")).status_code == 303
        await world.admin("DELETE", f"{CONFIG}/first")
        assert await world.who(browser) is None
        assert (await world.begin(browser)).status_code == 404
        async with world.doors.client("admin") as admin:
            again = await admin.put(f"{CONFIG}/first", json={**world.there.settings("second")})
            assert again.status_code == 400
            assert (await admin.delete(f"{CONFIG}/first")).status_code == 404
        await world.configure("first")
        assert (await world.sign_in(browser, "s-erika")).status_code == 303


@only_sqlite
async def test_a_dropped_group_counts_for_access_tokens_and_for_bearer_tokens_that_are_out(world: World) -> None:
    await world.link("builders", "devs")
    await world.admin("POST", "/api/v0/repositories/acme", json={"name": "app", "visibility": "private"})
    await world.admin("PUT", "/api/v0/repositories/acme/app/teamAccess/builders", json={"accessLevel": "read-only"})
    async with world.browser() as browser:
        assert (await world.sign_in(browser, "s-erika")).status_code == 303
        token = {"X-Csrf-Token": browser.cookies[CSRF_COOKIE]}
        made = await browser.post(f"{US}/api/v0/api_tokens", json={"tokenLabel": "ci"}, headers=token)
        async with world.doors.client("erika", made.json()["token"]) as docker:
            asked = {"service": SERVICE, "scope": "repository:acme/app:pull"}
            bearer = (await docker.get("/auth/token", params=asked)).json()["token"]
            async with world.doors.client(headers={"Authorization": f"Bearer {bearer}"}) as puller:
                assert (await puller.get("/v2/acme/app/tags/list")).status_code == 200
                world.there.put("s-erika", preferred_username="erika", groups=[])
                assert (await world.sign_in(browser, "s-erika")).status_code == 303
                assert (await puller.get("/v2/acme/app/tags/list")).status_code == 401
            assert (await docker.get("/api/v0/repositories/acme/app")).status_code == 404


@only_sqlite
async def test_an_account_of_a_provider_has_no_password_here(world: World) -> None:
    async with world.browser() as browser, world.doors.client("erika", PASSWORD) as erika:
        assert (await world.sign_in(browser, "s-erika")).status_code == 303
        assert (await erika.get("/id/")).status_code == 401
        token = {"X-Csrf-Token": browser.cookies[CSRF_COOKIE]}
        made = await browser.post(f"{US}/api/v0/api_tokens", json={"tokenLabel": "ci"}, headers=token)
        async with world.doors.client("erika", made.json()["token"]) as docker:
            assert (await docker.get("/id/")).json()["name"] == "erika"
