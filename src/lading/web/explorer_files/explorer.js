"use strict";

// A change that comes with a browser's session must bring the session's token: who can read our cookies is our page.
function withToken(request) {
  const found = document.cookie.split("; ").find((item) => item.startsWith("csrftoken="));
  if (found !== undefined) {
    request.headers["X-Csrf-Token"] = decodeURIComponent(found.slice("csrftoken=".length));
  }
  return request;
}

SwaggerUIBundle({
  url: "/api/v0/openapi.json",
  dom_id: "#explorer",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  withCredentials: true, // the session, when there is one; "Authorize" takes a password or an access token
  persistAuthorization: false, // a secret stays in the page
  tryItOutEnabled: true,
  queryConfigEnabled: false, // no address makes this page ask elsewhere
  validatorUrl: null, // nobody else is told of this installation
  requestInterceptor: withToken,
});
