// The OpenID provider of the tests: the real oidc-provider, with people to pick from in place of passwords,
// and /control/… where a test rotates keys, revokes grants, makes trouble and reads counts.
//
//   node provider.mjs '{"port": 4000, "clients": [{"client_id": …}], "people": {"alice": {"email": …}}}'
//
// SIGUSR2 takes the listening socket away, and gives it back the next time; what it knows stays.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { Provider, interactionPolicy } from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';

const settings = { accessTokenTtl: 3600, conformIdTokenClaims: true, ...JSON.parse(process.argv[2]) };
const issuer = `http://127.0.0.1:${settings.port}`;
const adapter = createMemoryAdapter();
const cookieKeys = [randomBytes(16).toString('hex')];
const grants = new Map(); // grant id → account
let signIns = []; // [{ account, client, sid, uid }]
const counts = {};
let troubles = []; // [{ path, status, html, times, delay_ms, late_ms, drop, omit }]
let provider = newProvider();

function count(name) {
  counts[name] = (counts[name] ?? 0) + 1;
}

function newKey(type, options, alg) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomBytes(8).toString('hex') };
}

function newProvider() {
  const made = new Provider(issuer, {
    adapter,
    clients: settings.clients,
    jwks: { keys: [newKey('rsa', { modulusLength: 2048 }, 'RS256'), newKey('ec', { namedCurve: 'P-256' }, 'ES256')] },
    cookies: { keys: cookieKeys },
    pkce: { required: () => true },
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      groups: ['groups'],
    },
    scopes: ['openid', 'offline_access', 'email', 'profile', 'groups'],
    conformIdTokenClaims: settings.conformIdTokenClaims,
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256'] },
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      // A token for a resource is a JWT with that audience; without one it is opaque.
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: 'read write',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: settings.accessTokenTtl,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    interactions: { policy: policy(), url: (_, interaction) => `/interaction/${interaction.uid}` },
    // Clients are on loopback here, which it goes to for nobody by itself.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    loadExistingGrant: consent,
    findAccount: (_, id) => settings.people[id] && { accountId: id, claims: () => ({ sub: id, ...settings.people[id] }) },
    ttl: {
      AccessToken: settings.accessTokenTtl,
      ClientCredentials: settings.accessTokenTtl,
      AuthorizationCode: 60,
      IdToken: 3600,
      Interaction: 600,
      Grant: 86400,
      RefreshToken: 86400,
      Session: 86400,
    },
  });
  made.on('authorization.success', ({ oidc }) => {
    const { session, client } = oidc;
    const sid = session.sidFor(client.clientId);
    signIns.push({ account: session.accountId, client: client.clientId, sid, uid: session.uid });
  });
  made.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route !== 'token') return;
    count(`grant ${ctx.oidc.params?.grant_type} ${ctx.status}`);
    for (const name of trouble('/token', (t) => t.omit)?.omit ?? []) delete ctx.body[name];
  });
  return made;
}

// Somebody signed in at the provider stays so, unless the client hints at somebody else.
function policy() {
  const base = interactionPolicy.base();
  base.get('login').checks.add(new interactionPolicy.Check('other_person', 'somebody else is asked for', ({ oidc }) => {
    const hint = oidc.params.login_hint;
    return Boolean(hint && settings.people[hint] && oidc.session.accountId !== hint);
  }));
  return base;
}

// Everybody consents to everything: what a page would have asked is taken as answered.
async function consent(ctx) {
  const { client, session, params, provider: { Grant } } = ctx.oidc;
  const known = session.grantIdFor(client.clientId);
  const grant = (known && await Grant.find(known)) || new Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(params.scope ?? 'openid');
  grants.set(await grant.save(), session.accountId);
  return grant;
}

// Signs in the person named by ?as= or the login_hint; without either it shows everybody as a link.
async function interact(req, res, url) {
  const interaction = await provider.interactionDetails(req, res);
  const { params, session } = interaction;
  if (url.searchParams.has('deny')) {
    const error = { error: 'access_denied', error_description: 'the person said no' };
    return provider.interactionFinished(req, res, error, { mergeWithLastSubmission: false });
  }
  const accountId = url.searchParams.get('as') ?? params.login_hint;
  if (settings.people[accountId]) {
    if (session?.uid && session.accountId !== accountId) { // else resuming asks by a script to sign out first
      await (await provider.Session.findByUid(session.uid))?.destroy();
      delete interaction.session.uid;
      await interaction.save(600);
    }
    return provider.interactionFinished(req, res, { login: { accountId } }, { mergeWithLastSubmission: false });
  }
  const links = Object.keys(settings.people).map((id) => `<li><a href="?as=${id}">${id}</a></li>`);
  res.setHeader('content-type', 'text/html; charset=utf-8');
  return res.end(`<!doctype html><title>provider</title><ul>${links.join('')}<li><a href="?deny">nobody</a></li></ul>`);
}

function trouble(path, applies) {
  const found = troubles.find((t) => (t.path === path || t.path === '*') && applies(t));
  if (found) {
    found.times -= 1;
    troubles = troubles.filter((t) => t.times > 0);
  }
  return found;
}

const controls = {
  '/control/counts': () => counts,
  '/control/rotate-keys': () => { provider = newProvider(); },
  '/control/trouble': (given) => { troubles.push({ times: 1, ...given }); },
  '/control/calm': () => { troubles = []; },
  // What an admin does who ends the sessions of a person (the newest alone): clients are told by logout tokens.
  '/control/end-sessions': async ({ account, newest, uri }) => {
    const theirs = signIns.filter((one) => one.account === account).slice(newest ? -1 : 0);
    signIns = signIns.filter((one) => !theirs.includes(one));
    return Promise.all(theirs.map(async (one) => {
      const client = await provider.Client.find(one.client);
      if (uri) client.backchannelLogoutUri = uri;
      await (await provider.Session.findByUid(one.uid))?.destroy();
      return client.backchannelLogout(account, one.sid).then(() => 'told', (error) => String(error.cause ?? error.message));
    }));
  },
  '/control/revoke': async ({ account }) => {
    for (const [id, owner] of grants) {
      if (account && account !== owner) continue;
      for (const model of ['AccessToken', 'RefreshToken', 'AuthorizationCode']) await adapter(model).revokeByGrantId(id);
      await adapter('Grant').destroy(id);
      grants.delete(id);
    }
  },
};

async function serve(req, res) {
  const url = new URL(req.url, issuer);
  if (controls[url.pathname]) {
    const body = Buffer.concat(await req.toArray()).toString();
    const answer = await controls[url.pathname](JSON.parse(body || '{}'));
    res.setHeader('content-type', 'application/json');
    return res.end(JSON.stringify(answer ?? {}));
  }
  count(`${req.method} ${url.pathname}`);
  const made = trouble(url.pathname, (t) => !t.omit);
  if (made?.delay_ms) await new Promise((resolve) => { setTimeout(resolve, made.delay_ms); });
  if (made?.drop) return res.destroy();
  if (made?.late_ms) { // it has happened, and nobody hears of it
    const end = res.end.bind(res);
    res.end = (...args) => { setTimeout(() => end(...args), made.late_ms); return res; };
  }
  if (made?.html) {
    res.setHeader('content-type', 'text/html; charset=utf-8');
    return res.end(made.html);
  }
  if (made?.status) {
    res.statusCode = made.status;
    res.setHeader('content-type', 'application/json');
    return res.end(JSON.stringify(made.body ?? {}));
  }
  if (url.pathname.startsWith('/interaction/')) return interact(req, res, url);
  return provider.callback()(req, res);
}

const server = createServer((req, res) => serve(req, res).catch((error) => {
  console.error(error);
  if (!res.headersSent) res.statusCode = 500;
  res.end(String(error));
}));

setInterval(() => {}, 3600_000); // alive while it doesn't listen
process.on('SIGUSR2', () => {
  if (!server.listening) return server.listen(settings.port, '127.0.0.1');
  server.close();
  return server.closeAllConnections();
});
process.on('SIGTERM', () => process.exit(0));
server.listen(settings.port, '127.0.0.1');
await once(server, 'listening');
console.log(`ready ${issuer}`);
