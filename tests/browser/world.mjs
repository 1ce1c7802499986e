// `portcullis demo` as a child, and a real browser that trusts its certificate and nothing else.
import { spawn } from 'node:child_process';
import { createHash, createHmac, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort, stop } from '../env/start.mjs';

const require = createRequire(new URL('../env/package.json', import.meta.url));
const { chromium } = require('playwright-core');

/** Starts the demo on a free port and reads from its banner where everything is. */
export async function startDemo() {
  const program = process.env.PORTCULLIS_BIN ?? new URL('../../target/debug/portcullis', import.meta.url).pathname;
  const child = spawn(program, ['demo', '--port', String(await freePort())], { stdio: ['ignore', 'pipe', 'inherit'] });
  let banner = '';
  const said = new Promise((done, failed) => {
    child.once('error', failed);
    child.once('exit', (code) => failed(new Error(`portcullis demo ended with ${code}:\n${banner}`)));
    child.stdout.setEncoding('utf8').on('data', (text) => {
      banner += text;
      if (banner.includes('Ctrl-C')) done();
    });
  });
  await Promise.race([said, pause(60_000, undefined, { ref: false }).then(() => { throw new Error(`portcullis demo did not start:\n${banner}`); })]);
  child.removeAllListeners('exit');
  const find = (pattern) => banner.match(pattern)?.[0] ?? assertNever(`${pattern} is not in the banner:\n${banner}`);
  return {
    gate: find(/https:\/\/gate\.localhost(:\d+)?/),
    app: find(/https:\/\/app\.localhost(:\d+)?/),
    echo: find(/https:\/\/echo\.localhost(:\d+)?/),
    issuer: find(/http:\/\/127\.0\.0\.1:\d+/),
    config: find(/\/\S+(?=\/certs\/ca\.pem)/),
    stop: () => stop(child),
  };
}

/** A browser that accepts the demo's key. Every other certificate is checked as always. */
export async function startBrowser(demo) {
  const certificate = new X509Certificate(readFileSync(`${demo.config}/certs/demo.pem`));
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`,
    ],
  });
}

/** An authenticator app for one person. Never gives a step twice, as the gateway never takes one twice. */
export class Authenticator {
  #secret;
  #last = 0;

  constructor(otpauth) {
    const parameters = new URL(otpauth).searchParams;
    this.#secret = decodeBase32(parameters.get('secret'));
  }

  /** A code that the gateway has not seen: of the step before now, of now, or of the next one, which it accepts as well. */
  async code() {
    const step = Math.max(this.#last + 1, now() - 1);
    while (step > now() + 1) await pause(500);
    this.#last = step;
    return codeOf(this.#secret, step);
  }
}

const now = () => Math.floor(Date.now() / 30_000);

/** RFC 4226 §5.3, six digits. */
function codeOf(secret, step) {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const hash = createHmac('sha1', secret).update(counter).digest();
  const number = hash.readUInt32BE(hash.at(-1) & 0x0f) & 0x7fff_ffff;
  return String(number % 1_000_000).padStart(6, '0');
}

function decodeBase32(text) {
  const bits = [...text.replaceAll(/[\s=]/g, '').toUpperCase()].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  return Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
}

function assertNever(why) { throw new Error(why); }
