// An app that speaks OAuth by oauth4webapi, which refuses what a standard forbids: it finds the gateway's metadata,
// registers itself, sends a person's browser off, and does with its tokens what there is to do.
//
//   node app.mjs '{"origin": "http://app.example.com:4000", "back": "http://127.0.0.1/callback", "secret": "…"}'
//
// It writes a line of JSON where somebody must do something, and reads a line then.

import dns from 'node:dns';
import { createInterface } from 'node:readline';

import * as oauth from 'oauth4webapi';

const { origin, back, secret } = JSON.parse(process.argv[2]);
const http = { [oauth.allowInsecureRequests]: true };
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Every name is this machine.
dns.lookup = (name, options, done) => {
  const found = { address: '127.0.0.1', family: 4 };
  if (options.all) done(null, [found]);
  else done(null, found.address, found.family);
};

async function asked(told) {
  console.log(JSON.stringify(told));
  return JSON.parse((await lines.next()).value);
}

async function code(as, client, authentication, redirect, scope) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(as.authorization_endpoint);
  for (const [name, value] of Object.entries({
    client_id: client.client_id,
    redirect_uri: redirect,
    response_type: 'code',
    scope,
    resource: `${origin}/mcp`,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  })) url.searchParams.set(name, value);
  const callback = new URL((await asked({ open: url.href })).callback);
  const parameters = oauth.validateAuthResponse(as, client, callback, state);
  const options = { ...http, additionalParameters: { resource: `${origin}/mcp` } };
  const answer = await oauth.authorizationCodeGrantRequest(as, client, authentication, parameters, redirect, verifier, options);
  return oauth.processAuthorizationCodeResponse(as, client, answer);
}

const resource = await oauth.resourceDiscoveryRequest(new URL(`${origin}/mcp`), http);
const described = await oauth.processResourceDiscoveryResponse(new URL(`${origin}/mcp`), resource);
const issuer = new URL(described.authorization_servers[0]);
const found = await oauth.discoveryRequest(issuer, { ...http, algorithm: 'oauth2' });
const as = await oauth.processDiscoveryResponse(issuer, found);

// One that registers itself.
const registration = await oauth.dynamicClientRegistrationRequest(as, { redirect_uris: [back], client_name: 'Node' }, http);
const own = await oauth.processDynamicClientRegistrationResponse(registration);
const first = await code(as, own, oauth.None(), back, 'tools');
const again = await oauth.refreshTokenGrantRequest(as, own, oauth.None(), first.refresh_token, http);
const second = await oauth.processRefreshTokenResponse(as, own, again);

// One with a secret asks what a token stands for, has a narrower one for its own, and ends it.
const partner = { client_id: 'partner' };
const proof = oauth.ClientSecretBasic(secret);
const theirs = await code(as, partner, proof, 'https://partner.example/back', 'read tools');
const exchange = await oauth.genericTokenEndpointRequest(as, partner, proof, 'urn:ietf:params:oauth:grant-type:token-exchange', {
  subject_token: theirs.access_token,
  subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  scope: 'read',
}, http);
const narrow = await oauth.processGenericTokenEndpointResponse(as, partner, exchange);
const introspect = async (token) => oauth.processIntrospectionResponse(
  as, partner, await oauth.introspectionRequest(as, partner, proof, token, http));
const before = await introspect(narrow.access_token);
await oauth.processRevocationResponse(await oauth.revocationRequest(as, partner, proof, theirs.refresh_token, http));
const after = await introspect(narrow.access_token);

// One without a browser.
const cli = { client_id: 'cli' };
const begun = await oauth.deviceAuthorizationRequest(as, cli, oauth.None(), { scope: 'read' }, http);
const device = await oauth.processDeviceAuthorizationResponse(as, cli, begun);
await asked({ device });
const polled = await oauth.deviceCodeGrantRequest(as, cli, oauth.None(), device.device_code, http);
const third = await oauth.processDeviceCodeResponse(as, cli, polled);

await asked({ done: { own, first, second, theirs, narrow, before, after, third } });
process.exit(0);
