// What must be true of every page: nothing in the console, no horizontal scrolling, readable by a screen reader, in every size and colour.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const axe = readFileSync(new URL('../env/node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

const MODES = [
  { size: 'phone', width: 390, height: 844, colorScheme: 'light' },
  { size: 'phone', width: 390, height: 844, colorScheme: 'dark' },
  { size: 'desktop', width: 1280, height: 800, colorScheme: 'dark' },
  { size: 'desktop', width: 1280, height: 800, colorScheme: 'light' },
];

/** Looks at a page in every size and colour, takes pictures, and says what is wrong with it. */
export async function inspect(page, name, language = 'en') {
  const before = page.viewportSize();
  for (const { size, width, height, colorScheme } of MODES) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme });
    const label = `${name.replaceAll(' ', '-')}-${size}-${colorScheme}`;
    if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${label}.png`), fullPage: true });
    const { wide, title, lang } = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth - document.documentElement.clientWidth, title: document.title, lang: document.documentElement.lang,
    }));
    assert.ok(wide <= 0, `${label} scrolls sideways by ${wide} px`);
    assert.ok(title.length > 0, `${label} has no title`);
    assert.ok(lang.startsWith(language), `${label} says its language is "${lang}", not ${language}`);
    assert.deepEqual(await barriers(page), [], label);
  }
  if (before) await page.setViewportSize(before);
}

/** Runs axe by the debugger, where the page's own policy does not reach. */
async function barriers(page) {
  const debug = await page.context().newCDPSession(page);
  try {
    await debug.send('Runtime.evaluate', { expression: axe });
    const expression = `axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })
      .then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ target }) => target.join(' ')).join(', ')))`;
    const { result, exceptionDetails } = await debug.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    assert.equal(exceptionDetails, undefined);
    return result.value;
  } finally { await debug.detach(); }
}

/** Collects what goes wrong in a context: errors in the console (violations of a content policy are among them) and in scripts. */
export function complaints(context) {
  const found = [];
  const documents = new Set();
  context.on('response', (response) => { if (response.request().isNavigationRequest()) documents.add(response.url()); });
  context.on('weberror', (error) => found.push(String(error.error())));
  context.on('console', (message) => {
    if (message.type() !== 'error') return;
    // A page that is refused is no fault of the page; the tests look at its status themselves.
    const { url } = message.location();
    if (message.text().startsWith('Failed to load resource') && (documents.has(url) || new URL(url).pathname === '/favicon.ico')) return;
    found.push(`${message.text()} (${url})`);
  });
  return found;
}
