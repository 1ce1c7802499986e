// An upstream that answers with what it understood, as JSON: method, url, headers as they stood on the wire, length and hash of the body.
// Also /events (server-sent events), /trickle (a line at a time), /status/NNN, /hang (never answers), /reset (cuts the connection) and
// a WebSocket echo on every path. Loopback only. HTTPS when TLS_CERT and TLS_KEY name files; with HTTP2, HTTP/2 alone (RFC 8441 for WebSockets).
import { createServer } from 'node:http';
import { createServer as createHttp2Server, createSecureServer as createSecureHttp2Server } from 'node:http2';
import { createServer as createSecureServer } from 'node:https';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { listen, endWithParent } from './lifetime.mjs';

const secure = process.env.TLS_CERT && process.env.TLS_KEY;
const options = { keepAliveTimeout: 5000, requestTimeout: 0, insecureHTTPParser: false };
if (secure) Object.assign(options, { cert: readFileSync(process.env.TLS_CERT), key: readFileSync(process.env.TLS_KEY) });
if (process.env.HTTP2) options.settings = { enableConnectProtocol: true };
const [create, createSecure] = process.env.HTTP2 ? [createHttp2Server, createSecureHttp2Server] : [createServer, createSecureServer];
const server = secure ? createSecure(options, answer) : create(options, answer);

let count = 0; // requests seen: a test that expects a refusal asks whether anything came through

async function answer(request, response) {
  count += 1;
  const { pathname } = new URL(request.url, 'http://upstream');
  const status = /^\/status\/(\d{3})$/.exec(pathname);
  if (pathname === '/events') return ticks(request, response, 'text/event-stream', (n) => `data: tick ${n}\n\n`);
  if (pathname === '/trickle') return ticks(request, response, 'text/plain', (n) => `line ${n}\n`);
  if (pathname === '/hang') return undefined;
  if (pathname === '/reset') return request.socket.destroy();
  const hash = createHash('sha256');
  let length = 0;
  try {
    for await (const part of request) { length += part.length; hash.update(part); }
  } catch { return undefined; } // the sender went away
  response.writeHead(status ? Number(status[1]) : 200, { 'content-type': 'application/json', 'x-upstream': 'node' });
  const headers = [];
  for (let at = 0; at < request.rawHeaders.length; at += 2) headers.push([request.rawHeaders[at], request.rawHeaders[at + 1]]);
  return response.end(JSON.stringify({
    method: request.method, url: request.url, version: request.httpVersion, headers, trailers: request.trailers, length, sha256: hash.digest('hex'), count,
  }));
}

function ticks(request, response, type, line) {
  const pace = Number(new URL(request.url, 'http://upstream').searchParams.get('ms') ?? 100);
  let n = 0;
  response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' });
  const tick = () => response.write(line(n += 1));
  tick();
  const timer = setInterval(tick, pace);
  response.once('close', () => clearInterval(timer));
}

server.on('upgrade', (request, socket, head) => {
  count += 1;
  socket.on('error', () => socket.destroy());
  const key = request.headers['sec-websocket-key'];
  if (!key || !/^websocket$/i.test(request.headers.upgrade)) return socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  return echo(socket, head);
});

// HTTP/2: the stream becomes the WebSocket.
server.on('connect', ({ stream, headers }, response) => {
  if (!process.env.HTTP2) return stream.destroy();
  count += 1;
  stream.on('error', () => stream.destroy());
  if (headers[':protocol'] !== 'websocket' || headers['sec-websocket-version'] !== '13' || headers['sec-websocket-key']) {
    response.writeHead(400);
    return response.end();
  }
  stream.respond({ ':status': 200 });
  return echo(stream, Buffer.alloc(0));
});

function echo(socket, head) {
  let rest = head;
  const take = (bytes) => { rest = echoFrames(socket, Buffer.concat([rest, bytes])); };
  take(Buffer.alloc(0));
  return socket.on('data', take);
}

/** Says every whole frame back, unmasked, and gives what is left. */
function echoFrames(socket, bytes) {
  for (;;) {
    if (bytes.length < 2) return bytes;
    let length = bytes[1] & 0x7f;
    let at = 2;
    if (length === 126) { if (bytes.length < 4) return bytes; length = bytes.readUInt16BE(2); at = 4; }
    if (length === 127) { if (bytes.length < 10) return bytes; length = Number(bytes.readBigUInt64BE(2)); at = 10; }
    const mask = (bytes[1] & 0x80) ? bytes.subarray(at, at += 4) : Buffer.alloc(4);
    if (bytes.length < at + length) return bytes;
    const payload = Buffer.from(bytes.subarray(at, at + length)).map((byte, index) => byte ^ mask[index % 4]);
    const first = bytes[0];
    const opcode = first & 0x0f;
    bytes = bytes.subarray(at + length);
    if (opcode === 10) continue;
    socket.write(frame(opcode === 9 ? 0x8a : first, payload));
    if (opcode === 8) { socket.end(); return Buffer.alloc(0); }
  }
}

function frame(first, payload) {
  const head = payload.length < 126 ? Buffer.from([first, payload.length]) : Buffer.alloc(payload.length < 65536 ? 4 : 10);
  if (payload.length >= 126) {
    head[0] = first;
    head[1] = payload.length < 65536 ? 126 : 127;
    if (payload.length < 65536) head.writeUInt16BE(payload.length, 2); else head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, payload]);
}

endWithParent();
await listen(server, secure ? { secure: true } : {});
