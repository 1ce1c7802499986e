// Somebody at a browser: goes where she is led, and gives what she is asked for.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { Authenticator } from './world.mjs';

export class Person {
  #authenticator;

  constructor(login) {
    this.login = login;
    this.recoveryCodes = [];
  }

  /**
   * Follows whatever stands between her and `address` until she is there: the provider, enrolment, recovery codes, the second factor.
   * `look(page, name)` is called on each page on the way. Gives the names of the pages met.
   */
  async reach(page, address, look = async () => {}) {
    const met = [];
    const deadline = Date.now() + 45_000;
    while (page.url() !== address) {
      assert.ok(Date.now() < deadline, `${this.login} is stuck at ${page.url()} after ${met.join(', ')}`);
      const name = await stage(page);
      if (name === undefined) { await pause(100); continue; }
      met.push(name);
      assert.ok(met.length < 12, `${this.login} goes in circles: ${met.join(', ')}`);
      await look(page, name);
      await leave(page, () => this.#act(page, name));
    }
    await page.waitForLoadState();
    return met;
  }

  async #act(page, name) {
    switch (name) {
      case 'provider': return page.locator(`button[name="login"][value="${this.login}"]`).click({ noWaitAfter: true });
      case 'enrolment':
        this.#authenticator = new Authenticator(await page.locator('a[href^="otpauth:"]').getAttribute('href'));
        return this.#enterCode(page);
      case 'recovery codes':
        this.recoveryCodes = await page.locator('main li code').allInnerTexts();
        return page.getByRole('main').getByRole('link').first().click({ noWaitAfter: true });
      case 'second factor': return this.#enterCode(page);
      default: throw new Error(`nothing is known about ${name}`);
    }
  }

  async #enterCode(page) {
    assert.ok(this.#authenticator, `${this.login} is asked for a code and has no authenticator`);
    const field = page.locator('input[name="code"]').first();
    await field.fill(await this.#authenticator.code());
    await field.press('Enter', { noWaitAfter: true });
  }
}

/** What the page is, told by what it asks for; undefined while one page follows another. */
async function stage(page) {
  try {
    const { pathname } = new URL(page.url());
    if (await page.locator('button[name="login"]').count() > 0) return 'provider';
    if (!pathname.startsWith('/.portcullis/')) return undefined;
    if (await page.locator('a[href^="otpauth:"]').count() > 0) return 'enrolment';
    if (await page.locator('input[name="code"]').count() > 0) return 'second factor';
    if (await page.locator('main li code').count() === 10) return 'recovery codes';
    return undefined;
  } catch { return undefined; } // the page went away while it was asked
}

/** Acts, and waits until another document stands there. */
async function leave(page, act) {
  const left = page.waitForEvent('domcontentloaded', { timeout: 30_000 });
  await act();
  await left;
}
