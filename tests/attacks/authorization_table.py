"""Who may ask what of the REST doors: every route, every role, on one's own things and on others'. Attack row 15.

The world of the table:

- `acme` is an organization with a private repository `app` (an image, tag `latest`) and a team `readers`.
- The roles, from left to right: `anonymous`; `stranger`, a user who has to do with nothing here; `member` of acme, in no team;
  `reader`, `writer`, `repoadmin`: members of teams with these levels on acme/app; `owner` of acme; system `admin`; `robot` of
  acme's, narrowed to read-write on acme/app; `narrowed`, an access token of the owner's, narrowed to pull from acme/app.
- `zanzibar` is another organization with the same things; nobody but its own owner and the admin has to do with it.

A line reads: method, path, and what each role gets.

- `{org=@acme}` in a path: the part called `org` is acme's name; for others' things `@acme` stands for zanzibar, and so on.
- `ok` is 2xx. 401: sign in first. 404: it does not exist, for you. 403: you see it, and may not.
- `others`: what all but anonymous callers and the admin get on zanzibar's things; these two get what they get on acme's. `-`
  where the path and the body name nothing of anybody's. What is refused is refused as for a thing that nobody has, to the
  letter; but for `*`, where every user may know that it is there.
- `public`: what `stranger` gets once zanzibar's repository is public; `-` where that changes nothing. Who is anonymous gets the
  same where the API lets him ask at all.
"""

TABLE = """
#                                                                       anonymous
#                                                                       |   stranger
#                                                                       |   |   member
#                                                                       |   |   |   reader
#                                                                       |   |   |   |   writer
#                                                                       |   |   |   |   |   repoadmin
#                                                                       |   |   |   |   |   |   owner
#                                                                       |   |   |   |   |   |   |   admin
#                                                                       |   |   |   |   |   |   |   |   robot
#                                                                       |   |   |   |   |   |   |   |   |   narrowed
#                                                                       |   |   |   |   |   |   |   |   |   |    others
#                                                                       |   |   |   |   |   |   |   |   |   |    |    public
# --- repositories
GET    /api/v0/repositories                                             ok  ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -
GET    /api/v0/repositories/{namespace=@acme}                           404 404 ok  ok  ok  ok  ok  ok  ok  ok   404  ok
POST   /api/v0/repositories/{namespace=@acme}                           401 403 403 403 403 403 ok  ok  403 403  403  -
GET    /api/v0/repositories/{namespace=@acme}/{reponame=@app}           404 404 404 ok  ok  ok  ok  ok  ok  ok   404  ok
PATCH  /api/v0/repositories/{namespace=@acme}/{reponame=@app}           401 404 404 403 403 ok  ok  ok  403 403  404  403
DELETE /api/v0/repositories/{namespace=@acme}/{reponame=@app}           401 404 404 403 403 ok  ok  ok  403 403  404  403
GET    /api/v0/repositories/{namespace=@acme}/{reponame=@app}/tags      404 404 404 ok  ok  ok  ok  ok  ok  ok   404  ok
GET    /api/v0/repositories/{namespace=@acme}/{reponame=@app}/tags/{reference=latest}
                                                                        404 404 404 ok  ok  ok  ok  ok  ok  ok   404  ok
DELETE /api/v0/repositories/{namespace=@acme}/{reponame=@app}/tags/{tag=latest}
                                                                        401 404 404 403 ok  ok  ok  ok  ok  403  404  403
GET    /api/v0/repositories/{namespace=@acme}/{reponame=@app}/manifests 404 404 404 ok  ok  ok  ok  ok  ok  ok   404  ok
DELETE /api/v0/repositories/{namespace=@acme}/{reponame=@app}/manifests/{reference=@manifest}
                                                                        401 404 404 403 ok  ok  ok  ok  ok  403  404  403
GET    /api/v0/repositories/{namespace=@acme}/{reponame=@app}/events    401 404 404 ok  ok  ok  ok  ok  ok  ok   404  ok

# --- searching
GET    /api/v0/index/autocomplete?query=@app                            401 ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -
GET    /api/v0/index/dockersearch?q=@app                                ok  ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -
GET    /v1/search?q=@app                                                ok  ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -

# --- team access
GET    /api/v0/repositories/{namespace=@acme}/{reponame=@app}/teamAccess
                                                                        401 404 404 403 403 ok  ok  ok  403 403  404  403
PUT    /api/v0/repositories/{namespace=@acme}/{reponame=@app}/teamAccess/{teamname=@readers}
                                                                        401 404 404 403 403 ok  ok  ok  403 403  404  403
DELETE /api/v0/repositories/{namespace=@acme}/{reponame=@app}/teamAccess/{teamname=@readers}
                                                                        401 404 404 403 403 ok  ok  ok  403 403  404  403
GET    /api/v0/repositoryNamespaces/{namespace=@acme}/teamAccess        401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
GET    /api/v0/repositoryNamespaces/{namespace=@acme}/teamAccess/{teamname=@readers}
                                                                        401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
PUT    /api/v0/repositoryNamespaces/{namespace=@acme}/teamAccess/{teamname=@readers}
                                                                        401 404 403 403 403 403 ok  ok  404 404  404  -
DELETE /api/v0/repositoryNamespaces/{namespace=@acme}/teamAccess/{teamname=@readers}
                                                                        401 404 403 403 403 403 ok  ok  404 404  404  -
GET    /api/v0/accounts/{orgname=@acme}/teams/{teamname=@readers}/repositoryAccess
                                                                        401 404 403 ok  403 403 ok  ok  404 404  404  -
GET    /api/v0/accounts/{username=@reader}/repositoryAccess/{namespace=@acme}/{reponame=@app}
                                                                        401 404 403 ok  403 403 403 ok  404 404  404  -

# --- accounts: an organization, and a user who is one of its members
GET    /enzi/v0/accounts                                                401 403 403 403 403 403 403 ok  403 403  -    -
POST   /enzi/v0/accounts                                                401 403 403 403 403 403 403 ok  403 403  -    -
PATCH  /enzi/v0/accounts                                                401 403 403 403 403 403 403 ok  403 403  -    -
GET    /enzi/v0/accounts/{name=@acme}                                   401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
GET    /enzi/v0/accounts/{name=@member}                                 401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
PATCH  /enzi/v0/accounts/{name=@acme}                                   401 404 403 403 403 403 ok  ok  404 404  404  -
PATCH  /enzi/v0/accounts/{name=@member}                                 401 404 ok  403 403 403 403 ok  404 404  404  -
DELETE /enzi/v0/accounts/{name=@member}                                 401 403 403 403 403 403 403 ok  403 403  403  -
DELETE /api/v0/accounts/{namespace=@acme}                               401 403 403 403 403 403 403 ok  403 403  403  -
DELETE /api/v0/accounts/{namespace=@acme}/repositories                  401 404 403 403 403 403 ok  ok  404 404  404  -
POST   /enzi/v0/accounts/{name=@member}/changePassword                  401 404 ok  403 403 403 403 ok  404 404  404  -
GET    /api/v0/accounts/language                                        401 ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -
GET    /api/v0/accounts/{username=@member}/settings                     401 404 ok  404 404 404 404 ok  404 404  404  -
PATCH  /api/v0/accounts/{username=@member}/settings                     401 404 ok  404 404 404 404 ok  404 404  404  -
GET    /enzi/v0/accounts/{user=@member}/organizations                   401 404 ok  403 403 403 403 ok  404 404  404  -

# --- access tokens; this one is `member`'s
GET    /api/v0/api_tokens                                               401 ok  ok  ok  ok  ok  ok  ok  404 404  -    -
GET    /api/v0/api_tokens?username=@member                              401 404 ok  404 404 404 404 ok  404 404  404  -
POST   /api/v0/api_tokens                                               401 ok  ok  ok  ok  ok  ok  ok  404 404  -    -
POST   /api/v0/api_tokens?username=@member                              401 404 ok  404 404 404 404 ok  404 404  404  -
DELETE /api/v0/api_tokens                                               401 ok  ok  ok  ok  ok  ok  ok  404 404  -    -
DELETE /api/v0/api_tokens?username=@member                              401 404 ok  404 404 404 404 ok  404 404  404  -
GET    /api/v0/api_tokens/{hashedtoken=@token}                          401 404 ok  404 404 404 404 ok  404 404  404  -
PATCH  /api/v0/api_tokens/{hashedtoken=@token}                          401 404 ok  404 404 404 404 ok  404 404  404  -
DELETE /api/v0/api_tokens/{hashedtoken=@token}                          401 404 ok  404 404 404 404 ok  404 404  404  -

# --- client bundles and public keys; any user reads keys (DTR reference 1.6), the one named is `member`'s
GET    /api/clientbundle                                                401 ok  ok  ok  ok  ok  ok  ok  404 404  -    -
GET    /api/clientbundle?username=@member                               401 404 ok  403 403 403 403 ok  404 404  404  -
GET    /enzi/v0/accounts/{name=@member}/publicKeys                      401 ok  ok  ok  ok  ok  ok  ok  ok  ok   ok*  -
POST   /enzi/v0/accounts/{name=@member}/publicKeys                      401 403 ok  403 403 403 403 ok  403 403  403* -
PATCH  /enzi/v0/accounts/{name=@member}/publicKeys/{key=@key}           401 403 ok  403 403 403 403 ok  403 403  403* -
DELETE /enzi/v0/accounts/{name=@member}/publicKeys/{key=@key}           401 403 ok  403 403 403 403 ok  403 403  403* -

# --- members and teams of an organization; `reader` is in the team
GET    /enzi/v0/accounts/{org=@acme}/members                            401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
GET    /enzi/v0/accounts/{org=@acme}/members/{member=@member}           401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
PUT    /enzi/v0/accounts/{org=@acme}/members/{member=@member}           401 404 403 403 403 403 ok  ok  404 404  404  -
DELETE /enzi/v0/accounts/{org=@acme}/members/{member=@member}           401 404 ok  403 403 403 ok  ok  404 404  404  -
GET    /enzi/v0/accounts/{org=@acme}/members/{member=@member}/teams     401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
GET    /enzi/v0/accounts/{org=@acme}/teams                              401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
POST   /enzi/v0/accounts/{org=@acme}/teams                              401 404 403 403 403 403 ok  ok  404 404  404  -
GET    /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}              401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
PATCH  /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}              401 404 403 403 403 403 ok  ok  404 404  404  -
DELETE /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}              401 404 403 403 403 403 ok  ok  404 404  404  -
GET    /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}/members      401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
GET    /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}/members/{member=@reader}
                                                                        401 404 ok  ok  ok  ok  ok  ok  404 404  404  -
PUT    /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}/members/{member=@reader}
                                                                        401 404 403 403 403 403 ok  ok  404 404  404  -
DELETE /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}/members/{member=@reader}
                                                                        401 404 403 ok  403 403 ok  ok  404 404  404  -

# --- grants, roles, robots
GET    /api/v0/grants                                                   401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/grants?namespace=@acme                                   401 404 403 403 403 403 ok  ok  404 404  404  -
PUT    /api/v0/grants                                                   401 404 403 403 403 403 ok  ok  404 404  404  -
DELETE /api/v0/grants?resource=@acme/@app&subjectKind=team&subject=@readers
                                                                        401 404 403 403 403 403 ok  ok  404 404  404  -
GET    /api/v0/roles                                                    401 ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -
PUT    /api/v0/roles/{name=scanner}                                     401 403 403 403 403 403 403 ok  403 403  -    -
DELETE /api/v0/roles/{name=scanner}                                     401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/accounts/{namespace=@acme}/robots                        401 404 403 403 403 403 ok  ok  404 404  404  -
POST   /api/v0/accounts/{namespace=@acme}/robots                        401 404 403 403 403 403 ok  ok  404 404  404  -
DELETE /api/v0/accounts/{namespace=@acme}/robots/{robot=@robot}         401 404 403 403 403 403 ok  ok  404 404  404  -

# --- the system
GET    /api/v0/meta/settings                                            401 403 403 403 403 403 403 ok  403 403  -    -
POST   /api/v0/meta/settings                                            401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/meta/features                                            401 ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -
GET    /api/v0/meta/alerts                                              401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/meta/cluster_status                                      401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/admin/version                                            401 ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -
GET    /api/v0/events                                                   401 ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -

GET    /basic_info                                                      ok  ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -
GET    /enzi/v0/id/                                                     401 ok  ok  ok  ok  ok  ok  ok  ok  ok   -    -

# --- how people sign in; who belongs to a team by a directory's word
GET    /enzi/v0/config/sessions                                         401 403 403 403 403 403 403 ok  403 403  -    -
PUT    /enzi/v0/config/sessions                                         401 403 403 403 403 403 403 ok  403 403  -    -
GET    /enzi/v0/config/auth                                             401 403 403 403 403 403 403 ok  403 403  -    -
PUT    /enzi/v0/config/auth                                             401 403 403 403 403 403 403 ok  403 403  -    -
GET    /enzi/v0/config/auth/ldap                                        401 403 403 403 403 403 403 ok  403 403  -    -
PUT    /enzi/v0/config/auth/ldap                                        401 403 403 403 403 403 403 ok  403 403  -    -
POST   /enzi/v0/config/auth/ldap/tryLogin                               401 403 403 403 403 403 403 ok  403 403  -    -
GET    /enzi/v0/config/auth/oidc                                        401 403 403 403 403 403 403 ok  403 403  -    -
GET    /enzi/v0/config/auth/oidc/{name=corporate}                       401 403 403 403 403 403 403 ok  403 403  -    -
PUT    /enzi/v0/config/auth/oidc/{name=corporate}                       401 403 403 403 403 403 403 ok  403 403  -    -
DELETE /enzi/v0/config/auth/oidc/{name=corporate}                       401 403 403 403 403 403 403 ok  403 403  -    -
GET    /enzi/v0/accounts/{org=@acme}/adminMemberSyncConfig              401 404 403 403 403 403 ok  ok  404 404  404  -
PUT    /enzi/v0/accounts/{org=@acme}/adminMemberSyncConfig              401 404 403 403 403 403 ok  ok  404 404  404  -
GET    /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}/memberSyncConfig
                                                                        401 404 403 403 403 403 ok  ok  404 404  404  -
PUT    /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}/memberSyncConfig
                                                                        401 404 403 403 403 403 ok  ok  404 404  404  -
GET    /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}/groupLinkConfig
                                                                        401 404 403 403 403 403 ok  ok  404 404  404  -
PUT    /enzi/v0/accounts/{org=@acme}/teams/{team=@readers}/groupLinkConfig
                                                                        401 404 403 403 403 403 ok  ok  404 404  404  -

# --- jobs
GET    /api/v0/action_configs                                           401 403 403 403 403 403 403 ok  403 403  -    -
POST   /api/v0/action_configs                                           401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/action_configs/{action=onlinegc_events}                  401 403 403 403 403 403 403 ok  403 403  -    -
DELETE /api/v0/action_configs/{action=onlinegc_events}                  401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/crons                                                    401 403 403 403 403 403 403 ok  403 403  -    -
POST   /api/v0/crons                                                    401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/crons/{action=onlinegc}                                  401 403 403 403 403 403 403 ok  403 403  -    -
DELETE /api/v0/crons/{action=onlinegc}                                  401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/jobs                                                     401 403 403 403 403 403 403 ok  403 403  -    -
POST   /api/v0/jobs                                                     401 403 403 403 403 403 403 ok  403 403  -    -
GET    /api/v0/jobs/{job_id=@job}                                       401 403 403 403 403 403 403 ok  403 403  403  -
DELETE /api/v0/jobs/{job_id=@job}                                       401 403 403 403 403 403 403 ok  403 403  403  -
POST   /api/v0/jobs/{job_id=@job}/cancel                                401 403 403 403 403 403 403 ok  403 403  403  -
GET    /api/v0/jobs/{job_id=@job}/logs                                  401 403 403 403 403 403 403 ok  403 403  403  -
GET    /api/v0/workers                                                  401 403 403 403 403 403 403 ok  403 403  -    -
POST   /api/v0/workers/{worker_id=@worker}/capacity                     401 403 403 403 403 403 403 ok  403 403  -    -
GET    /enzi/v0/jobs                                                    401 403 403 403 403 403 403 ok  403 403  -    -
POST   /enzi/v0/jobs                                                    401 403 403 403 403 403 403 ok  403 403  -    -
GET    /enzi/v0/jobs/{job_id=@sync}                                     401 403 403 403 403 403 403 ok  403 403  403  -
GET    /enzi/v0/jobs/{job_id=@sync}/logs                                401 403 403 403 403 403 403 ok  403 403  403  -
"""

BODIES = {
    "POST /api/v0/repositories/{namespace}": '{"name": "new"}',
    "PATCH /api/v0/repositories/{namespace}/{reponame}": '{"shortDescription": "other"}',
    "PUT /api/v0/repositories/{namespace}/{reponame}/teamAccess/{teamname}": '{"accessLevel": "admin"}',
    "PUT /api/v0/repositoryNamespaces/{namespace}/teamAccess/{teamname}": '{"accessLevel": "admin"}',
    "POST /enzi/v0/accounts": '{"name": "new", "password": "correct horse battery"}',
    "PATCH /enzi/v0/accounts": '{"operations": [{"op": "update", "ref": "@member", "value": {"fullName": "Other"}}]}',
    "PATCH /enzi/v0/accounts/{name}": '{"fullName": "Other"}',
    "POST /enzi/v0/accounts/{name}/changePassword": (
        '{"oldPassword": "correct horse battery", "newPassword": "another horse battery"}'
    ),
    "PATCH /api/v0/accounts/{username}/settings": '{"contentCacheUUID": "0"}',
    "POST /api/v0/api_tokens": '{"tokenLabel": "new"}',
    "PATCH /api/v0/api_tokens/{hashedtoken}": '{"tokenLabel": "other"}',
    "POST /enzi/v0/accounts/{name}/publicKeys": '{"publicKey": "@new_key"}',
    "PATCH /enzi/v0/accounts/{name}/publicKeys/{key}": '{"label": "other"}',
    "PUT /enzi/v0/accounts/{org}/members/{member}": '{"isAdmin": true}',
    "POST /enzi/v0/accounts/{org}/teams": '{"name": "new"}',
    "PATCH /enzi/v0/accounts/{org}/teams/{team}": '{"description": "other"}',
    "PUT /enzi/v0/accounts/{org}/teams/{team}/members/{member}": '{"isAdmin": true}',
    "PUT /api/v0/grants": '{"resource": "@acme/@app", "subjectKind": "team", "subject": "@readers", "role": "admin"}',
    "PUT /api/v0/roles/{name}": '{"permissions": ["repository:content:pull"]}',
    "POST /api/v0/accounts/{namespace}/robots": (
        '{"name": "new", "repositories": [{"repository": "@acme/*", "accessLevel": "read-only"}]}'
    ),
    "PUT /enzi/v0/config/sessions": '{"perUserLimit": 5}',
    "PUT /enzi/v0/config/auth": '{"backend": "managed"}',
    "PUT /enzi/v0/config/auth/ldap": '{"serverURL": "ldap://127.0.0.1:1"}',
    "POST /enzi/v0/config/auth/ldap/tryLogin": '{"username": "new"}',
    "PUT /enzi/v0/config/auth/oidc/{name}": '{"issuer": "https://127.0.0.1:1", "clientID": "lading"}',
    "PUT /enzi/v0/accounts/{org}/adminMemberSyncConfig": (
        '{"enableSync": true, "selectGroupMembers": true, "groupDN": "cn=a,dc=b", "groupMemberAttr": "member"}'
    ),
    "PUT /enzi/v0/accounts/{org}/teams/{team}/memberSyncConfig": (
        '{"enableSync": true, "selectGroupMembers": true, "groupDN": "cn=a,dc=b", "groupMemberAttr": "member"}'
    ),
    "PUT /enzi/v0/accounts/{org}/teams/{team}/groupLinkConfig": '{"enableLink": true, "groupName": "a"}',
    "POST /api/v0/meta/settings": '{"createRepositoryOnPush": true}',
    "POST /api/v0/action_configs": '{"action": "onlinegc_events", "parameters": {"toKeep": "5"}}',
    "POST /api/v0/crons": '{"action": "onlinegc", "schedule": "@weekly"}',
    "POST /api/v0/jobs": '{"action": "onlinegc"}',
    "POST /api/v0/workers/{worker_id}/capacity": '{"capacityMap": {"onlinegc": 1}}',
    "POST /enzi/v0/jobs": '{"action": "ldap-sync"}',
}
"""What is sent, by method and path; the same `@` words stand in it."""

ALIASES = {
    "/api/ucp/config/auth/ldap": "/enzi/v0/config/auth/ldap",
    "/enzi/v0/api/ucp/config/auth/ldap": "/enzi/v0/config/auth/ldap",
    "/enzi/v0/id": "/enzi/v0/id/",
}
"""Paths that the API's description leaves out, and those that they stand for."""
