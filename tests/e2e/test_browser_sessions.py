"""A browser's session over real TLS, with nginx and without it."""

from lading.web.cookies import CSRF_COOKIE, SESSION_COOKIE
from support.servers import Server


def test_a_browser_signs_in_changes_something_and_signs_out(server: Server) -> None:
    with server.client(name=None) as browser:
        assert browser.get("/id/").status_code == 401
        form = {"username": "admin", "password": server.password}
        own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
        assert browser.post("/login", data=form, headers={"Origin": "https://evil.example"}).status_code == 403
        assert browser.post("/login", data=form, headers=own).status_code == 200
        assert {SESSION_COOKIE, CSRF_COOKIE} <= set(browser.cookies)
        assert browser.get("/id/").json()["name"] == "admin"
        assert browser.get("/basic_info").json()["AuthnMethod"] == "SessionToken"
        settings, wanted = "/enzi/v0/config/sessions", {"perUserLimit": 11}
        assert browser.put(settings, json=wanted).status_code == 403
        token = {"X-Csrf-Token": browser.cookies[CSRF_COOKIE]}
        assert browser.put(settings, json=wanted, headers=token).json()["perUserLimit"] == 11
        assert browser.put(settings, json={"perUserLimit": 10}, headers=token).status_code == 200
        assert browser.get("/oidc/nowhere/login").status_code == 404
        assert browser.get("/logout").status_code == 303
        assert browser.get("/id/").status_code == 401
