// Starts the programs of this folder for tests in JavaScript, and stops them by their process.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const here = new URL('.', import.meta.url).pathname;

/** Runs `NAME.mjs` and gives what it said when it was ready, with `stop()`. */
export async function startNode(name, environment = {}) {
  const child = spawn(process.execPath, [join(here, `${name}.mjs`)], { env: { ...process.env, PORT: '0', ...environment }, stdio: ['pipe', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) {
    const said = line.startsWith('{') ? JSON.parse(line) : {};
    if (said.ready) return { ...said, stop: () => stop(child) };
  }
  throw new Error(`${name}.mjs ended before it was ready`);
}

/** Runs `nginx` or `apache2` on its template, with `tree` (path → content) as its files. */
export async function startServer(name, tree = {}) {
  const dir = mkdtempSync(join(tmpdir(), `portcullis-${name}-`));
  const port = await freePort();
  mkdirSync(join(dir, 'tree'), { recursive: true });
  for (const [path, content] of Object.entries(tree)) {
    mkdirSync(join(dir, 'tree', path, '..'), { recursive: true });
    writeFileSync(join(dir, 'tree', path), content);
  }
  const template = readFileSync(join(here, name === 'nginx' ? 'nginx.conf.template' : 'apache.conf.template'), 'utf8');
  const file = join(dir, 'server.conf');
  writeFileSync(file, template.replaceAll('@PORT@', String(port)).replaceAll('@DIR@', dir));
  const program = name === 'nginx' ? ['/usr/sbin/nginx', ['-c', file, '-e', join(dir, 'error.log')]] : ['/usr/sbin/apache2', ['-f', file, '-DFOREGROUND']];
  const child = spawn(...program, { stdio: ['ignore', 'inherit', 'inherit'] });
  const url = `http://127.0.0.1:${port}`;
  await answering(url, child);
  return { url, port, dir, stop: async () => { await stop(child); rmSync(dir, { recursive: true, force: true }); } };
}

/** Waits until something answers HTTP at `url`, at most ten seconds. */
export async function answering(url, child) {
  for (let tries = 0; tries < 100; tries += 1) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`);
    try { return await (await fetch(url)).arrayBuffer(); } catch { await pause(100); }
  }
  throw new Error(`${child.spawnfile} does not answer`);
}

export async function freePort() {
  const server = createServer();
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  const { port } = server.address();
  await new Promise((done) => { server.close(done); });
  return port;
}

export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => { child.once('exit', done); });
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(killer);
}
