"""Searching by name in `/api/v0/index`: what the caller may see, and nothing else. Source: DTR reference 1.2 and 1.3.

`docker search HOST/word` asks the engine, which asks `/v1/search`; that is answered alike.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from lading.accounts.account_access import is_admin
from lading.accounts.forms import account_json
from lading.accounts.users import Users
from lading.registry.api import repository_json
from lading.registry.repositories import Repositories
from lading.web.api import Caller, SignedIn
from lading.web.paging import Paging

_SHOWN = 100
_Word = Annotated[str, Query(max_length=255)]


def router(repositories: Repositories, users: Users) -> APIRouter:
    """The endpoints of searching."""
    routes = APIRouter(tags=["search"])

    @routes.get("/api/v0/index/autocomplete", summary="Repositories and accounts with a word in their names")
    async def autocomplete(
        who: SignedIn,
        word: Annotated[str, Query(alias="query", max_length=255)] = "",
        with_repositories: Annotated[bool, Query(alias="includeRepositories")] = True,  # noqa: FBT002 — a query parameter
        with_accounts: Annotated[bool, Query(alias="includeAccounts")] = True,  # noqa: FBT002 — a query parameter
        namespace: Annotated[str, Query(max_length=100)] = "",
        limit: Annotated[int, Query(ge=1)] = 25,
    ) -> dict[str, Any]:
        paging, told = Paging(min(limit, _SHOWN), "", count=False), dict[str, Any]()
        if with_repositories:
            page = await repositories.search(who, word, namespace or None, paging)
            told["repositoryResults"] = [repository_json(item) for item in page.items]
        if with_accounts and not namespace:
            # Others than administrators are told of nobody whom they have nothing to do with.
            found = await users.search(word, paging, near=None if is_admin(who) else who.account_id)
            told["accountResults"] = [account_json(item) for item in found]
        return told

    async def search(who: Caller, word: str, limit: int) -> dict[str, Any]:
        page = await repositories.search(who, word, None, Paging(limit, "", count=False))
        results = [
            {
                "name": item.name.text,
                "description": item.short_description,
                "is_official": False,
                "is_trusted": False,
                "star_count": 0,
            }
            for item in page.items
        ]
        return {"num_results": len(results), "query": word, "results": results}

    @routes.get("/api/v0/index/dockersearch", summary="What docker search shows")
    async def dockersearch(who: Caller, q: _Word = "") -> dict[str, Any]:
        return await search(who, q, _SHOWN)

    @routes.get("/v1/search", summary="What docker search asks")
    async def docker_search(who: Caller, q: _Word = "", n: Annotated[int, Query(ge=1)] = 25) -> dict[str, Any]:
        return await search(who, q, min(n, _SHOWN))

    return routes
