"""Cookies: those a browser sends, and those it is given.

The session's cookie is for this host alone, and no script reads it (`__Host-`, HttpOnly). Scripts of our own pages read
`csrftoken`, and send it back in a header, which another site's page can't. Source: RFC 6265; DTR reference 1.1.
"""

from datetime import timedelta

from lading.web.exchange import Headers, Request

SESSION_COOKIE = "__Host-lading_session"
CSRF_COOKIE = "csrftoken"
CSRF_HEADER = "x-csrf-token"


def find_cookie(request: Request, name: str) -> str | None:
    """The value of the cookie, the first where a browser sends several; None without one."""
    for header in request.headers("cookie"):
        for part in header.split(";"):
            key, equals, value = part.strip().partition("=")
            if equals and key == name:
                return value
    return None


def set_cookie(
    name: str, value: str, *, max_age: timedelta | None = None, for_scripts: bool = False
) -> tuple[str, str]:
    """The header that gives the cookie; without `max_age` it ends with the browser.

    Shape: `value` holds none of what cookies can't: spaces, quotes, commas, semicolons, backslashes.
    """
    words = [f"{name}={value}", "Path=/", "Secure", "SameSite=Lax"]
    if not for_scripts:
        words.append("HttpOnly")
    if max_age is not None:
        words.append(f"Max-Age={int(max_age.total_seconds())}")
    return "set-cookie", "; ".join(words)


def drop_cookies(*names: str) -> Headers:
    """The headers that take the cookies away."""
    return [set_cookie(name, "", max_age=timedelta(0), for_scripts=name == CSRF_COOKIE) for name in names]
