// Certified OpenID providers for tests, each on a free port with TLS. Asked with one JSON document as the argument:
//   {"cert", "key", "redirectUris": {NAME: URI}, "hosts": {NAME: HOST}, "people": FILE}
// Prints {"issuers": {NAME: URL}} when all listen. PEOPLE holds {SUBJECT: {claim: value}}, and is read at each question.
// A line `rotate NAME` on standard input gives that provider other keys, and forgets all it knew; it is answered by `done`.
// Ends with its standard input.
import { generateKeyPair } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import readline from 'node:readline';
import { promisify } from 'node:util';
import Provider from 'oidc-provider';

const asked = JSON.parse(process.argv[2]);
const people = () => JSON.parse(readFileSync(asked.people, 'utf8'));
let keys = 0;

async function makeProvider(name, issuer) {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  keys += 1;
  return new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: `key-${keys}`, use: 'sig', alg: 'RS256' }] },
    clients: [{
      client_id: 'lading',
      client_secret: `secret of ${name}`,
      redirect_uris: [asked.redirectUris[name]],
      token_endpoint_auth_method: name === 'second' ? 'client_secret_post' : 'client_secret_basic',
    }],
    clientAuthMethods: name === 'second' ? ['client_secret_post'] : ['client_secret_basic'],
    // The first tells its claims by userinfo, as the specification has it; the second in the ID token, as many do.
    conformIdTokenClaims: name !== 'second',
    claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'] },
    scopes: ['openid', 'profile'],
    pkce: { required: () => true },
    cookies: { keys: ['of tests only'] },
    findAccount: (ctx, id) => {
      const claims = people()[id];
      return claims && { accountId: id, claims: () => ({ sub: id, ...claims }) };
    },
    features: { devInteractions: { enabled: true } },
    ttl: { Session: 600, Grant: 600, Interaction: 600, AccessToken: 600, AuthorizationCode: 60, IdToken: 600 },
  });
}

const running = {};
const issuers = {};
for (const [name, host] of Object.entries(asked.hosts)) {
  const server = https.createServer({ cert: readFileSync(asked.cert), key: readFileSync(asked.key) });
  await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
  issuers[name] = `https://${host}:${server.address().port}`;
  running[name] = (await makeProvider(name, issuers[name])).callback();
  server.on('request', (request, response) => running[name](request, response));
}
console.log(JSON.stringify({ issuers }));

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const [, name] = line.split(' ');
  running[name] = (await makeProvider(name, issuers[name])).callback();
  console.log('done');
});
lines.on('close', () => process.exit(0));
