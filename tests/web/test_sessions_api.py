"""Sessions of browsers and programs, over both databases: cookies, CSRF, how long they live, and what ends them."""

from dataclasses import dataclass, replace
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from lading import __version__
from lading.accounts.sessions import SessionRules
from lading.accounts.tables import sessions
from lading.accounts.token_secrets import is_session_secret, secret_id
from lading.app.doors import make_doors
from lading.events.log import SYSTEM
from lading.web.cookies import CSRF_COOKIE, SESSION_COOKIE
from support.apps import PASSWORD, SERVICE, Doors
from support.clocks import ManualClock

ORIGIN = f"https://{SERVICE}"
RULES = "/enzi/v0/config/sessions"


@dataclass(frozen=True)
class Timed:
    """The doors, whose sessions live by a clock that is moved by hand."""

    doors: Doors
    clock: ManualClock

    async def browser(self, name: str = "alice") -> httpx.AsyncClient:
        """A browser that is signed in."""
        browser = self.doors.client()
        answer = await login(browser, name)
        assert answer.status_code == 200, answer.text
        return browser

    async def count(self) -> int:
        async with self.doors.database.read() as connection:
            return int(await connection.scalar(select(func.count()).select_from(sessions)) or 0)


@pytest.fixture
async def timed(doors: Doors) -> Timed:
    clock = ManualClock()
    made = replace(doors.parts.sessions, clock=clock)
    doors.authenticator._sessions = made
    parts = replace(doors.parts, sessions=made)
    return Timed(Doors(parts, make_doors(parts)), clock)


async def login(
    browser: httpx.AsyncClient, name: str = "alice", password: str = PASSWORD, **more: Any
) -> httpx.Response:
    return await browser.post("/login", data={"username": name, "password": password}, **more)


async def who(browser: httpx.AsyncClient) -> str | None:
    answer = await browser.get("/id/")
    assert answer.status_code in {200, 401}, answer.text
    return answer.json()["name"] if answer.status_code == 200 else None


def csrf(browser: httpx.AsyncClient) -> dict[str, str]:
    return {"X-Csrf-Token": browser.cookies[CSRF_COOKIE]}


def given(answer: httpx.Response) -> dict[str, dict[str, str]]:
    """The cookies that an answer gives, with their attributes."""
    jar: SimpleCookie = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        jar.load(header)
    return {
        name: {"value": one.value, **{key: str(value) for key, value in one.items() if value}}
        for name, one in jar.items()
    }


async def test_a_form_signs_a_browser_in_with_cookies_that_only_it_and_only_this_host_see(timed: Timed) -> None:
    browser = timed.doors.client()
    answer = await login(browser)
    assert answer.status_code == 200
    assert answer.json()["user"]["name"] == "alice"
    cookies = given(answer)
    secret, token = cookies[SESSION_COOKIE], cookies[CSRF_COOKIE]
    assert is_session_secret(secret.pop("value"))
    assert token.pop("value") == answer.json()["csrfToken"]
    common = {"path": "/", "secure": "True", "samesite": "Lax", "max-age": "3600"}
    assert secret == {**common, "httponly": "True"}
    assert token == common
    assert await who(browser) == "alice"
    async with timed.doors.database.read() as connection:
        kept = list(await connection.execute(select(sessions)))
    assert browser.cookies[SESSION_COOKIE] not in str(kept)
    assert kept[0].id == secret_id(browser.cookies[SESSION_COOKIE])
    assert (kept[0].method, kept[0].address) == ("password", "127.0.0.1")


async def test_persistent_cookies_can_be_switched_off(timed: Timed) -> None:
    async with timed.doors.client("admin") as admin:
        put = await admin.post("/api/v0/meta/settings", json={"disablePersistentCookies": True})
        assert put.status_code == 202, put.text
        assert (await admin.get("/api/v0/meta/settings")).json()["disablePersistentCookies"] is True
    for cookie in given(await login(timed.doors.client())).values():
        assert "max-age" not in cookie


async def test_json_signs_in_too_and_a_wrong_password_does_not(timed: Timed) -> None:
    browser = timed.doors.client()
    answer = await browser.post("/login", json={"username": "alice", "password": PASSWORD})
    assert answer.status_code == 200
    for name, password in (("alice", "wrong"), ("nobody", PASSWORD), ("alice", ""), ("", "")):
        refused = await login(timed.doors.client(), name, password)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (401, "NOT_AUTHENTICATED")
        assert "set-cookie" not in refused.headers
        assert "www-authenticate" not in refused.headers
    for more in ({"content": b"x"}, {"content": b"[1]", "headers": {"Content-Type": "application/json"}}):
        assert (await browser.post("/login", **more)).status_code == 400


async def test_signing_in_again_gives_another_secret_and_ends_the_session_before(timed: Timed) -> None:
    browser = await timed.browser()
    first = browser.cookies[SESSION_COOKIE]
    await login(browser, "bob")
    assert browser.cookies[SESSION_COOKIE] != first
    async with timed.doors.client(cookies={SESSION_COOKIE: first}) as old:
        assert await who(old) is None


async def test_a_change_by_a_session_needs_its_csrf_token_and_reading_does_not(timed: Timed) -> None:
    browser = await timed.browser()
    other = await timed.browser("bob")
    form = {"name": "made", "visibility": "public"}
    path = "/api/v0/repositories/alice"
    for headers in ({}, {"X-Csrf-Token": "x"}, {"X-Csrf-Token": ""}, csrf(other)):
        refused = await browser.post(path, json=form, headers=headers)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "NOT_AUTHORIZED")
    assert (await browser.delete(f"{path}/made")).status_code == 403
    made = await browser.post(path, json=form, headers=csrf(browser))
    assert made.status_code == 201, made.text
    assert (await browser.get(f"{path}/made")).status_code == 200
    # What proves itself without the browser's doing needs none.
    secret = browser.cookies[SESSION_COOKIE]
    async with timed.doors.client(headers={"Authorization": f"Bearer {secret}"}) as program:
        assert (await program.delete(f"{path}/made")).status_code == 204


FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
)


async def test_another_sites_form_signs_nobody_in(timed: Timed) -> None:
    browser = timed.doors.client()
    for headers in FOREIGN:
        answer = await login(browser, headers=headers)
        assert answer.status_code == 403, headers
        assert "set-cookie" not in answer.headers
    own = await login(browser, headers={"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 200


async def test_another_sites_link_reaches_nothing_with_a_browsers_session(timed: Timed) -> None:
    browser = timed.doors.client()
    await login(browser)
    for headers in FOREIGN:
        assert (await browser.get("/api/clientbundle", headers=headers)).status_code == 403, headers
    assert (await browser.get("/enzi/v0/accounts/alice/publicKeys")).json()["accountPublicKeys"] == []
    own = await browser.get("/api/clientbundle", headers={"Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 200


PLACES = {
    "/repositories?page=2#top": "/repositories?page=2#top",
    "https://evil.example/": "/",
    "//evil.example/": "/",
    "/\\evil.example/": "/",
    "/\t/evil.example/": "/",
    "javascript:alert(1)": "/",
    "evil": "/",
    "": "/",
    "/a\r\nSet-Cookie: x=y": "/",
}


async def test_after_signing_in_one_is_sent_to_local_places_only(timed: Timed) -> None:
    for wanted, path in PLACES.items():
        form = {"username": "alice", "password": PASSWORD, "next": wanted}
        answer = await timed.doors.client().post("/login", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, path), wanted
        assert {SESSION_COOKIE, CSRF_COOKIE} == set(given(answer))


async def test_signing_out_ends_the_session_and_takes_the_cookies(timed: Timed) -> None:
    for method, path in (
        ("GET", "/logout"),
        ("POST", "/logout"),
        ("POST", "/id/logout"),
        ("POST", "/enzi/v0/id/logout"),
    ):
        browser = await timed.browser()
        secret = browser.cookies[SESSION_COOKIE]
        answer = await browser.request(method, path, headers=csrf(browser))
        assert answer.status_code == (303 if method == "GET" else 204)
        assert SESSION_COOKIE not in browser.cookies
        async with timed.doors.client(cookies={SESSION_COOKIE: secret}) as old:
            assert await who(old) is None
    browser = await timed.browser()
    assert (await browser.post("/logout")).status_code == 403
    await browser.get("/logout", headers={"Sec-Fetch-Site": "cross-site"})
    assert await timed.count() == 1


async def test_programs_sign_in_for_a_bearer_secret(timed: Timed) -> None:
    anyone = timed.doors.client()
    for path in ("/auth/login", "/enzi/v0/auth/login"):
        answer = await anyone.post(path, json={"username": "alice", "password": PASSWORD})
        secret = answer.json()["auth_token"]
        assert is_session_secret(secret)
        assert "set-cookie" not in answer.headers
        async with timed.doors.client(headers={"Authorization": f"Bearer {secret}"}) as program:
            for own in ("/id/", "/enzi/v0/id/", "/enzi/v0/accounts/alice", "/accounts/alice"):
                assert (await program.get(own)).json()["name"] == "alice", own
            assert (await program.post("/id/logout")).status_code == 204
            assert (await program.get("/id/")).status_code == 401
            assert (await program.post("/id/logout")).status_code == 401
    refused = await anyone.post("/auth/login", json={"username": "alice", "password": "wrong"})
    assert refused.status_code == 401
    # Nor is it a password, or good for the registry.
    async with timed.doors.client("alice", secret) as basic:
        assert (await basic.get("/id/")).status_code == 401
        assert (await basic.get("/auth/token")).status_code == 401


async def test_an_access_token_begins_no_session(timed: Timed) -> None:
    async with timed.doors.client("alice") as alice:
        token = (await alice.post("/api/v0/api_tokens", json={"tokenLabel": "ci"})).json()["token"]
    answer = await timed.doors.client().post("/auth/login", json={"username": "alice", "password": token})
    assert answer.status_code == 403
    assert (await login(timed.doors.client(), "alice", token)).status_code == 403


async def test_a_session_ends_after_its_lifetime_and_lives_on_when_used_near_its_end(timed: Timed) -> None:
    browser = await timed.browser()
    timed.clock.move(timedelta(minutes=39))
    kept = await browser.get("/id/")
    assert kept.status_code == 200
    assert "set-cookie" not in kept.headers  # 21 minutes are left: not yet
    timed.clock.move(timedelta(minutes=2))
    extended = await browser.get("/id/")
    assert given(extended)[SESSION_COOKIE]["max-age"] == "3600"
    timed.clock.move(timedelta(minutes=59))
    assert await who(browser) == "alice"
    timed.clock.move(timedelta(minutes=61))
    assert await who(browser) is None


async def test_a_threshold_of_nothing_never_extends_a_session(timed: Timed) -> None:
    await timed.doors.parts.sessions.settings.put(SessionRules(10, 0, 10), by=SYSTEM)
    browser = await timed.browser()
    timed.clock.move(timedelta(minutes=9, seconds=59))
    assert await who(browser) == "alice"
    timed.clock.move(timedelta(seconds=1))
    assert await who(browser) is None


async def test_use_is_written_once_a_minute_at_most(timed: Timed) -> None:
    browser = await timed.browser()
    began = timed.clock.now()
    moments = []
    for seconds in (59, 1, 30):
        timed.clock.move(timedelta(seconds=seconds))
        assert await who(browser) == "alice"
        async with timed.doors.database.read() as connection:
            moments.append(await connection.scalar(select(sessions.c.used_at)))
    assert moments == [began, began + timedelta(minutes=1), began + timedelta(minutes=1)]


async def test_the_session_used_least_recently_goes_when_a_user_has_too_many(timed: Timed) -> None:
    await timed.doors.parts.sessions.settings.put(SessionRules(60, 20, 2), by=SYSTEM)
    first, second = await timed.browser(), await timed.browser()
    bob = await timed.browser("bob")
    timed.clock.move(timedelta(minutes=2))
    assert await who(first) == "alice"
    third = await timed.browser()
    assert [await who(one) for one in (first, second, third, bob)] == ["alice", None, "alice", "bob"]
    await timed.doors.parts.sessions.settings.put(SessionRules(60, 20, 0), by=SYSTEM)
    for _ in range(3):
        await timed.browser()
    assert [await who(one) for one in (first, third)] == ["alice", "alice"]


async def test_sessions_that_are_over_are_cleared_away(timed: Timed) -> None:
    for _ in range(3):
        await timed.browser()
    timed.clock.move(timedelta(hours=2))
    await timed.browser("bob")
    assert await timed.count() == 1


async def test_a_new_password_signs_out_everywhere(timed: Timed) -> None:
    browsers = [await timed.browser(), await timed.browser()]
    bob = await timed.browser("bob")
    form = {"oldPassword": PASSWORD, "newPassword": "another one entirely"}
    path = "/enzi/v0/accounts/alice/changePassword"
    assert (await browsers[0].post(path, json=form, headers=csrf(browsers[0]))).status_code == 200
    assert [await who(one) for one in (*browsers, bob)] == [None, None, "bob"]
    assert await timed.count() == 1


async def test_who_is_shut_out_is_out_at_once_and_does_not_come_back_by_the_old_session(timed: Timed) -> None:
    browser = await timed.browser()
    async with timed.doors.client("admin") as admin:
        for active, expected in ((False, None), (True, None)):
            await admin.patch("/enzi/v0/accounts/alice", json={"isActive": active})
            assert await who(browser) is expected
        await login(browser)
        assert await who(browser) == "alice"
        assert (await admin.delete("/enzi/v0/accounts/alice")).status_code == 204
    assert await who(browser) is None


async def test_rules_are_an_administrators_matter_and_bounded(timed: Timed) -> None:
    async with timed.doors.client("admin") as admin, timed.doors.client("alice") as alice:
        usual = {"lifetimeMinutes": 60, "renewalThresholdMinutes": 20, "perUserLimit": 10}
        assert (await admin.get(RULES)).json() == usual
        assert (await alice.get(RULES)).status_code == (await alice.put(RULES, json={})).status_code == 403
        put = await admin.put(RULES, json={"lifetimeMinutes": 480})
        assert put.json() == {**usual, "lifetimeMinutes": 480} == (await admin.get(RULES)).json()
        wrong: list[dict[str, object]] = [
            {"lifetimeMinutes": 9, "renewalThresholdMinutes": 0},
            {"lifetimeMinutes": 60, "renewalThresholdMinutes": 56},
            {"renewalThresholdMinutes": -1},
            {"perUserLimit": -1},
            {"perUserLimit": 10**9},
            {"lifetimeMinutes": 10**9},
            {"lifetimeMinutes": "60"},
            {"lifetime": 60},
        ]
        for form in wrong:
            assert (await admin.put(RULES, json=form)).status_code == 400, form
        least = {"lifetimeMinutes": 10, "renewalThresholdMinutes": 5, "perUserLimit": 0}
        assert (await admin.put(RULES, json=least)).json() == least


async def test_basic_info_tells_the_version_who_one_is_and_how(timed: Timed) -> None:
    browser = await timed.browser("admin")
    info = (await browser.get("/basic_info")).json()
    assert set(info) == {"CurrentVersion", "User", "IsAdmin", "AuthnMethod"}
    assert (info["CurrentVersion"], info["IsAdmin"], info["AuthnMethod"]) == (__version__, True, "SessionToken")
    assert set(info["User"]) == {"name", "id", "fullName", "isOrg", "isAdmin", "isActive", "isImported"}
    async with timed.doors.client("alice") as alice, timed.doors.client() as anyone:
        told = (await alice.get("/basic_info")).json()
        assert (told["User"]["name"], told["IsAdmin"], told["AuthnMethod"]) == ("alice", False, "BasicAuth")
        told = (await anyone.get("/basic_info")).json()
        assert (told["User"], told["IsAdmin"], told["AuthnMethod"]) == (None, False, "Anonymous")


async def test_sign_in_and_out_are_told_in_the_events(timed: Timed) -> None:
    browser = await timed.browser()
    await browser.get("/logout")
    async with timed.doors.client("admin") as admin:
        told = (await admin.get("/api/v0/events", params={"objectType": "SESSION"})).json()["events"]
    assert [(item["type"], item["actorName"], item["address"]) for item in told] == [
        ("SIGN_OUT", "alice", "127.0.0.1"),
        ("SIGN_IN", "alice", "127.0.0.1"),
    ]


async def test_a_session_of_another_epoch_is_none(timed: Timed) -> None:
    browser = await timed.browser()
    async with timed.doors.database.write() as unit:
        await unit.execute(update(sessions).values(epoch=7))
    assert await who(browser) is None


async def test_the_sign_in_page_is_told_which_ways_there_are(timed: Timed) -> None:
    assert (await timed.doors.client().get("/login")).json() == {"password": True, "providers": []}
    assert (await timed.doors.client().delete("/login")).status_code == 405
