// The certified `oidc-provider` with test people. Loopback only; nothing here is secret.
//
//   PORT=0                 any free port
//   GATEWAY=https://…      the gateway's own address; gives the redirect addresses unless these are set:
//   REDIRECT_URIS=a,b      POST_LOGOUT_REDIRECT_URIS=a,b      BACKCHANNEL_LOGOUT_URI=…
//   GATEWAY_CA=FILE        what to trust when the gateway is told of a logout
//   SIGNING=ES256          ES256, RS256, PS256 or EdDSA
//   TOKEN_AUTH=client_secret_basic    or client_secret_post
//   CLAIMS=id_token        or `userinfo`: e-mail and groups are not in the ID token
//   KEEP=1                 do not end when standard input closes
//
// Control, by POST on the same port: /control/rotate (a new key; the old one is gone), /control/rotate?keep=1 (both are published, the
// new one signs), /control/down and /control/up (answers 503 in between), /control/groups?login=ana&groups=a,b. GET /control/log
// gives what happened (logout calls, errors).
import { createServer } from 'node:http';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { readFileSync } from 'node:fs';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { listen, endWithParent } from './lifetime.mjs';
import { MemoryAdapter } from './memory-adapter.mjs';

const { default: Provider } = await import('oidc-provider');

const gateway = process.env.GATEWAY ?? 'https://gate.localhost:8443';
const signing = process.env.SIGNING ?? 'ES256';
const listed = (text, otherwise) => (text ? text.split(',') : otherwise);
const authority = process.env.GATEWAY_CA ? readFileSync(process.env.GATEWAY_CA) : undefined;

const person = (login, groups, more = {}) => [login, {
  email: `${login}@example.com`, email_verified: true, name: login, preferred_username: login, groups, ...more,
}];
const people = Object.fromEntries([
  person('ana', ['staff']),
  person('ben', ['staff', 'on-call']),
  person('eva', ['staff', 'admin', 'portcullis-admins']),
  person('nogroups', undefined),
  person('emptygroups', []),
  person('unverified', ['staff'], { email: 'ana@example.com', email_verified: false }),
  person('othercase', ['staff'], { email: 'ANA@Example.com' }),
  person('nomail', ['staff'], { email: undefined, email_verified: undefined }),
  person('stringgroup', 'staff'),
  person('casegroup', ['Staff', 'STAFF']),
  person('manygroups', Array.from({ length: 300 }, (_, index) => `group-${index}`).concat('staff')),
  person('größe', ['staff'], { name: 'Größe 日本' , email: 'groesse@example.com' }),
]);

const log = [];
const note = (kind, detail) => { log.push({ kind, detail }); if (log.length > 1000) log.shift(); };

function newKey() {
  const made = {
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    EdDSA: () => generateKeyPairSync('ed25519'),
  }[signing]();
  const alg = signing === 'EdDSA' ? 'Ed25519' : signing;
  return { ...made.privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: randomUUID() };
}

/** A call that finds names under `localhost` on loopback, and reaches loopback at all (the library's own refuses to). */
function call(target, { method, headers, body } = {}) {
  const url = new URL(target);
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((done, failed) => {
    const options = { method, headers: Object.fromEntries(new Headers(headers)), ca: authority, timeout: 5000, agent: false };
    if (url.hostname.endsWith('localhost')) Object.assign(options, { servername: url.hostname, lookup: (_, opts, reply) => (opts.all ? reply(null, [{ address: '127.0.0.1', family: 4 }]) : reply(null, '127.0.0.1', 4)) });
    const outgoing = send(url, options, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => done(new Response([204, 205, 304].includes(answer.statusCode) ? null : Buffer.concat(parts), { status: answer.statusCode })));
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('timed out')));
    outgoing.on('error', failed);
    outgoing.end(body === undefined ? undefined : String(body));
  });
}

function makeProvider(issuer, keys) {
  const client = {
    client_id: 'portcullis',
    client_secret: 'a-secret-that-only-tests-know',
    redirect_uris: listed(process.env.REDIRECT_URIS, [`${gateway}/.portcullis/callback`]),
    post_logout_redirect_uris: listed(process.env.POST_LOGOUT_REDIRECT_URIS, [gateway, `${gateway}/`, `${gateway}/.portcullis/signed-out`]),
    backchannel_logout_uri: process.env.BACKCHANNEL_LOGOUT_URI ?? `${gateway}/.portcullis/backchannel-logout`,
    backchannel_logout_session_required: true,
    token_endpoint_auth_method: process.env.TOKEN_AUTH ?? 'client_secret_basic',
    id_token_signed_response_alg: signing === 'EdDSA' ? 'Ed25519' : signing,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
  };
  const provider = new Provider(issuer, {
    adapter: MemoryAdapter,
    clients: [client],
    jwks: { keys },
    cookies: { keys: ['only-tests-know-this-one'] },
    pkce: { required: () => true },
    scopes: ['openid', 'profile', 'email', 'groups', 'offline_access'],
    claims: { openid: ['sub', 'sid', 'auth_time', 'acr', 'amr'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
    conformIdTokenClaims: process.env.CLAIMS === 'userinfo',
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA'] },
    features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true }, rpInitiatedLogout: { enabled: true, logoutSource }, userinfo: { enabled: true } },
    interactions: { url: (_context, interaction) => `/login/${interaction.uid}` },
    findAccount: (_context, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
    loadExistingGrant, // consent is given by itself: client and provider belong to one house
    fetch: call,
    renderError: (context, out) => { context.type = 'json'; context.body = out; },
  });
  for (const kind of ['server_error', 'authorization.error', 'grant.error', 'userinfo.error', 'end_session.error', 'backchannel.error', 'backchannel.success']) {
    provider.on(kind, (...about) => note(kind, about.map((one) => one?.error_description ?? one?.message ?? one?.clientId ?? '').filter(Boolean).join(' ')));
  }
  provider.use(signIn(provider));
  return provider;
}

async function loadExistingGrant(context) {
  const { client, session, provider } = context.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope('openid profile email groups offline_access');
  await grant.save();
  return grant;
}

/** Signing out needs no second question here. */
function logoutSource(context, form) {
  const nonce = 'submit';
  context.set('content-security-policy', `default-src 'none'; script-src 'nonce-${nonce}'`);
  context.body = `<!doctype html><html lang="en"><title>Signing out</title>${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`
    + `<script nonce="${nonce}">document.querySelector('button').click()</script>`;
}

/** The sign-in page: a field `login`, or `?as=LOGIN` in `login_hint` to go through without a page. */
function signIn(provider) {
  return async (context, next) => {
    if (!/^\/login\/[^/]+$/.test(context.path)) return next();
    const { prompt, params, grantId } = await provider.interactionDetails(context.req, context.res);
    context.respond = false;
    if (prompt.name === 'consent') return provider.interactionFinished(context.req, context.res, { consent: { grantId } }, { mergeWithLastSubmission: true });
    let login = people[params.login_hint] ? params.login_hint : undefined;
    if (context.method === 'POST') {
      let form = '';
      for await (const part of context.req) form += part;
      login = new URLSearchParams(form).get('login');
    }
    if (people[login]) return provider.interactionFinished(context.req, context.res, { login: { accountId: login, amr: ['pwd'], remember: true } }, { mergeWithLastSubmission: false });
    context.respond = true;
    context.status = context.method === 'POST' ? 403 : 200;
    context.type = 'html';
    context.body = '<!doctype html><html lang="en"><title>Test provider</title><form method="post"><label>Login <input name="login" autofocus></label> <button>Sign in</button></form>';
  };
}

let keys = [newKey()];
let handle;
let down = false;

function control(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://127.0.0.1');
  const action = `${request.method} ${pathname}`;
  const answer = (status, value) => { response.writeHead(status, { 'content-type': 'application/json' }); response.end(JSON.stringify(value)); };
  switch (action) {
    case 'POST /control/rotate':
      keys = searchParams.has('keep') ? [newKey(), ...keys] : [newKey()];
      handle = makeProvider(issuer, keys).callback();
      return answer(200, { kids: keys.map((key) => key.kid) });
    case 'POST /control/down': down = true; return answer(200, {});
    case 'POST /control/up': down = false; return answer(200, {});
    case 'POST /control/groups':
      if (!people[searchParams.get('login')]) return answer(404, { error: 'no such person' });
      people[searchParams.get('login')].groups = listed(searchParams.get('groups'), []);
      return answer(200, {});
    case 'GET /control/log': return answer(200, log);
    default: return answer(404, { error: 'no such control' });
  }
}

const server = createServer((request, response) => {
  if (request.url.startsWith('/control/')) return control(request, response);
  if (down) return response.writeHead(503).end();
  return handle(request, response);
});
// The issuer holds the port, and the port is known only once the server listens; nobody is told before the provider is there.
let issuer;
server.once('listening', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  handle = makeProvider(issuer, keys).callback();
});
endWithParent();
await listen(server, { client_id: 'portcullis', client_secret: 'a-secret-that-only-tests-know' });
