// What all programs here share: they listen on loopback, say in one line of JSON where, and end with whoever started them.

/** Listens on `PORT` (default: any free one) and prints `{"ready":true,"url":…,…facts}` once it does. */
export async function listen(server, facts = {}) {
  await new Promise((done, failed) => {
    server.once('error', failed);
    server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', done);
  });
  const { port } = server.address();
  const url = `http://127.0.0.1:${port}`;
  process.stdout.write(`${JSON.stringify({ ready: true, url, port, ...facts })}\n`);
  return url;
}

/** Ends when standard input closes, so that a test that is killed leaves nothing behind. `KEEP=1` is for use by hand. */
export function endWithParent() {
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(0));
  if (process.env.KEEP === '1') return;
  process.stdin.resume();
  process.stdin.once('end', () => process.exit(0));
  process.stdin.once('error', () => process.exit(0));
}
