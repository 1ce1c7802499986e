// The programs that stand in for the world are right themselves: a test that rests on a wrong stand-in says nothing.
import test from 'node:test';
import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { request } from 'node:http';
import { startNode, startServer } from './start.mjs';

/** Sends a target byte by byte as it stands here. */
function raw(port, path, headers = {}) {
  return new Promise((done, failed) => {
    const outgoing = request({ host: '127.0.0.1', port, path, headers }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (part) => { body += part; }).on('end', () => done({ status: answer.statusCode, headers: answer.headers, body }));
    });
    outgoing.on('error', failed).end();
  });
}

/** Signs in as a browser would and gives the tokens and the claims of the ID token, verified. */
async function signIn(provider, login) {
  const discovery = await (await fetch(`${provider.url}/.well-known/openid-configuration`)).json();
  const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const redirect = 'https://gate.localhost:8443/.portcullis/callback';
  const wish = new URLSearchParams({ client_id: provider.client_id, redirect_uri: redirect, response_type: 'code', scope: 'openid profile email groups', state: 's', nonce: 'n', code_challenge: challenge, code_challenge_method: 'S256' });
  const jar = new Map();
  let next = { url: `${discovery.authorization_endpoint}?${wish}`, method: 'GET' };
  let location;
  for (let hops = 0; hops < 10; hops += 1) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(next.url, { method: next.method, body: next.body, redirect: 'manual', headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) { const [pair] = line.split(';'); const at = pair.indexOf('='); jar.set(pair.slice(0, at), pair.slice(at + 1)); }
    location = answer.headers.get('location');
    if (location?.startsWith(redirect)) break;
    next = location ? { url: new URL(location, next.url).href, method: 'GET' } : { url: next.url, method: 'POST', body: new URLSearchParams({ login }) };
  }
  const sent = new URL(location).searchParams;
  assert.equal(sent.get('iss'), provider.url);
  const form = new URLSearchParams({ grant_type: 'authorization_code', code: sent.get('code'), redirect_uri: redirect, code_verifier: verifier });
  const basic = `Basic ${Buffer.from(`${provider.client_id}:${provider.client_secret}`).toString('base64')}`;
  const tokens = await (await fetch(discovery.token_endpoint, { method: 'POST', body: form, headers: { authorization: basic } })).json();
  const [head, body, signature] = tokens.id_token.split('.');
  const { kid, alg } = JSON.parse(Buffer.from(head, 'base64url'));
  const { keys } = await (await fetch(discovery.jwks_uri)).json();
  const key = createPublicKey({ key: keys.find((one) => one.kid === kid), format: 'jwk' });
  assert.ok(verify(alg.endsWith('256') ? 'sha256' : null, Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
  return { ...tokens, kid, claims: JSON.parse(Buffer.from(body, 'base64url')), userinfo: await (await fetch(discovery.userinfo_endpoint, { headers: { authorization: `Bearer ${tokens.access_token}` } })).json() };
}

test('the provider signs somebody in and puts groups into the ID token', async () => {
  const provider = await startNode('provider');
  try {
    const { claims, userinfo } = await signIn(provider, 'ben');
    assert.deepEqual([claims.sub, claims.nonce, claims.groups, claims.email], ['ben', 'n', ['staff', 'on-call'], 'ben@example.com']);
    assert.deepEqual(userinfo.groups, ['staff', 'on-call']);
  } finally { await provider.stop(); }
});

test('the provider can keep groups out of an RS256 token', async () => {
  const provider = await startNode('provider', { SIGNING: 'RS256', CLAIMS: 'userinfo' });
  try {
    const { claims, userinfo } = await signIn(provider, 'ana');
    assert.deepEqual([claims.groups, claims.email, userinfo.groups], [undefined, undefined, ['staff']]);
  } finally { await provider.stop(); }
});

test('the provider changes its key and keeps signing people in', async () => {
  const provider = await startNode('provider');
  try {
    const before = await signIn(provider, 'ana');
    const { kids } = await (await fetch(`${provider.url}/control/rotate?keep=1`, { method: 'POST' })).json();
    const after = await signIn(provider, 'ana');
    assert.deepEqual(kids, [after.kid, before.kid]);
    assert.equal((await (await fetch(`${provider.url}/control/rotate`, { method: 'POST' })).json()).kids.length, 1);
    await fetch(`${provider.url}/control/down`, { method: 'POST' });
    assert.equal((await fetch(`${provider.url}/jwks`)).status, 503);
  } finally { await provider.stop(); }
});

test('the upstream says what it understood', async () => {
  const upstream = await startNode('upstream');
  try {
    const said = await (await fetch(`${upstream.url}/a%2Fb?x=1`, { method: 'POST', body: 'hello', headers: { 'X-Mixed-Case': 'v' } })).json();
    assert.deepEqual([said.method, said.url, said.length, said.count], ['POST', '/a%2Fb?x=1', 5, 1]);
    assert.ok(said.headers.some(([name, value]) => name.toLowerCase() === 'x-mixed-case' && value === 'v'));
    assert.equal((await fetch(`${upstream.url}/status/418`)).status, 418);
  } finally { await upstream.stop(); }
});

test('the upstream echoes a WebSocket', async () => {
  const upstream = await startNode('upstream');
  try {
    const payload = 'x'.repeat(70_000);
    const mask = Buffer.from([1, 2, 3, 4]);
    const head = Buffer.alloc(10); head[0] = 0x81; head[1] = 0xff; head.writeBigUInt64BE(BigInt(payload.length), 2);
    const sent = Buffer.concat([head, mask, Buffer.from(payload).map((byte, index) => byte ^ mask[index % 4])]);
    const got = await new Promise((done, failed) => {
      const outgoing = request({ host: '127.0.0.1', port: upstream.port, headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' } });
      outgoing.on('error', failed).on('upgrade', (answer, socket) => {
        assert.equal(answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
        let all = Buffer.alloc(0);
        socket.on('data', (part) => { all = Buffer.concat([all, part]); if (all.length >= payload.length + 10) { socket.destroy(); done(all); } });
        socket.write(sent);
      }).end();
    });
    assert.deepEqual([got[0], got[1], got.subarray(10).toString()], [0x81, 127, payload]);
  } finally { await upstream.stop(); }
});

test('nginx decodes, merges and resolves, as it does everywhere', async () => {
  const nginx = await startServer('nginx');
  try {
    const { body } = await raw(nginx.port, '/public//%2e%2e/admin?a=b', { 'X-Portcullis-Subject': 'ana' });
    const said = JSON.parse(body);
    assert.deepEqual([said.area, said.uri, said.request_uri, said.args, said.subject], ['admin', '/admin', '/public//%2e%2e/admin?a=b', 'a=b', 'ana']);
  } finally { await nginx.stop(); }
});

test('Apache decodes an encoded slash, as it was told to', async () => {
  const apache = await startServer('apache2', { 'admin/secret.txt': 'secret' });
  try {
    const { status, headers, body } = await raw(apache.port, '/public/%2e%2e%2fadmin/secret.txt?q');
    assert.deepEqual([status, body, headers['x-understood-query']], [200, 'secret', 'q']);
    assert.equal((await raw(apache.port, '/nothing')).headers['x-understood-uri'], '/nothing');
  } finally { await apache.stop(); }
});
