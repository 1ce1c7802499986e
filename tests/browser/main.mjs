// The whole way of a person, in a real browser, against `portcullis demo`.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { startBrowser, startDemo } from './world.mjs';
import { Person } from './person.mjs';
import { complaints, inspect } from './inspect.mjs';

let demo;
let browser;
const people = { ana: new Person('ana'), ben: new Person('ben'), eva: new Person('eva') };

before(async () => {
  demo = await startDemo();
  browser = await startBrowser(demo);
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

/** Runs `story` in a fresh profile and fails if any page of it complained of anything but what is `expected`. */
async function inProfile(options, story, expected = /^$/) {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(20_000);
  const found = complaints(context);
  try {
    await story(context, await context.newPage());
    assert.deepEqual(found.filter((complaint) => !expected.test(complaint)), []);
  } finally { await context.close(); }
}

/** Goes to `address` as `person` and gives the pages met on the way. */
async function visit(page, person, address, look) {
  await page.goto(address);
  return person.reach(page, address, look);
}

const stated = (page, name) => page.locator('#headers tr', { has: page.locator(`th:text-is("${name}")`) }).locator('td').innerText();

test('ana signs in, enrols, comes to the exact address, meets a closed door, and signs out', async (t) => {
  await inProfile({}, async (context, page) => {
    const { ana } = people;
    const address = `${demo.app}/reports?q=a%20b&list=1&list=2#part-2`;

    await t.test('she is asked once for each thing and lands where she wanted to go', async () => {
      const met = await visit(page, ana, address, inspect);
      assert.deepEqual(met, ['provider', 'enrolment', 'recovery codes']);
      assert.equal(page.url(), address);
      assert.equal(new Set(ana.recoveryCodes).size, 10);
    });

    await t.test('the application sees who she is, and no cookie of the gateway', async () => {
      assert.equal(await stated(page, 'x-portcullis-email'), 'ana@example.com');
      assert.match(await stated(page, 'x-portcullis-groups'), /staff/);
      const claims = JSON.parse(await page.locator('#assertion').innerText());
      assert.ok(claims.aud && claims.exp);
      assert.ok(!(await page.locator('#headers').innerText()).includes('__Host-portcullis'));
      await inspect(page, 'application');
    });

    await t.test('each host has one cookie, locked to it', async () => {
      for (const origin of [demo.app, demo.gate]) {
        const cookies = await context.cookies(origin);
        assert.deepEqual(cookies.map(({ name, httpOnly, secure, sameSite, path, domain }) => ({ name, httpOnly, secure, sameSite, path, domain })), [
          { name: '__Host-portcullis', httpOnly: true, secure: true, sameSite: 'Lax', path: '/', domain: new URL(origin).hostname },
        ]);
      }
      const [one, other] = [(await context.cookies(demo.app))[0], (await context.cookies(demo.gate))[0]];
      assert.notEqual(one.value, other.value);
    });

    await t.test('a door that is closed to her says why', async () => {
      const answer = await page.goto(`${demo.app}/admin`);
      assert.equal(answer.status(), 403);
      const words = await page.getByRole('main').innerText();
      assert.match(words, /no_rule/);
      assert.ok(words.length > 100, words);
      await inspect(page, 'denied');
    });

    await t.test('another system opens without asking again', async () => {
      assert.deepEqual(await visit(page, ana, `${demo.echo}/`), []);
      await page.locator('#state', { hasText: 'open' }).waitFor();
      await page.locator('#message').fill('hello gateway');
      await page.keyboard.press('Enter');
      await page.locator('#log li', { hasText: 'hello gateway' }).waitFor();
    });

    await t.test('the portal lists what she may open', async () => {
      assert.equal((await page.goto(`${demo.gate}/`)).status(), 200);
      for (const origin of [demo.app, demo.echo]) assert.ok(await page.locator(`a[href^="${origin}"]`).count() > 0, origin);
      await inspect(page, 'portal');
    });

    await t.test('she signs out, and every system asks again', async () => {
      await page.locator('form[action$="/.portcullis/sign-out"]').getByRole('button').click();
      await page.waitForURL((url) => url.origin === demo.gate);
      await page.getByRole('main').waitFor();
      await inspect(page, 'signed out');
      for (const address of [`${demo.app}/`, `${demo.echo}/`]) {
        await page.goto(address);
        await page.locator('button[name="login"]').first().waitFor();
        assert.equal(new URL(page.url()).origin, demo.issuer);
      }
    });
  });
});

test('three tabs that sign in at once all arrive', async () => {
  await inProfile({}, async (context, first) => {
    const addresses = ['/reports?tab=1', '/reports?tab=2#two', '/?tab=3'].map((path) => demo.app + path);
    const tabs = [first, await context.newPage(), await context.newPage()];
    await Promise.all(tabs.map((tab, index) => tab.goto(addresses[index])));
    await Promise.all(tabs.map((tab) => tab.locator('button[name="login"]').first().waitFor()));
    for (const [index, tab] of tabs.entries()) await people.ben.reach(tab, addresses[index]);
    for (const [index, tab] of tabs.entries()) {
      assert.equal((await tab.reload()).status(), 200);
      assert.equal(tab.url(), addresses[index]);
    }
  });
});

test('ben may write and ana may not', async () => {
  await inProfile({}, async (_context, page) => {
    await visit(page, people.ben, `${demo.app}/`);
    await page.getByLabel('Note').fill('from ben');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByText('Received').waitFor();
  });
  await inProfile({}, async (_context, page) => {
    await visit(page, people.ana, `${demo.app}/`);
    const refused = page.waitForResponse((response) => response.request().method() === 'POST' && response.url() === `${demo.app}/upload`);
    await page.getByRole('button', { name: 'Send' }).click();
    assert.equal((await refused).status(), 403);
  });
});

test('without JavaScript eva signs in, enrols and reaches the admin page', async () => {
  await inProfile({ javaScriptEnabled: false }, async (_context, page) => {
    const met = await visit(page, people.eva, `${demo.app}/admin?deep=1`);
    assert.deepEqual(met, ['provider', 'enrolment', 'recovery codes']);
    assert.equal(await page.getByRole('heading', { level: 1 }).innerText(), 'Admin');
  });
});

test('pages speak German to a German browser', async () => {
  await inProfile({ locale: 'de-DE' }, async (_context, page) => {
    let seen = '';
    const met = await visit(page, people.eva, `${demo.app}/`, async (at, name) => {
      if (name === 'provider') return; // not the gateway's
      seen = await at.getByRole('main').innerText();
      await inspect(at, `${name} in German`, 'de');
    });
    assert.deepEqual(met, ['provider', 'second factor']);
    assert.match(seen, /Code/);
    await page.goto(`${demo.app}/closed`);
    await inspect(page, 'denied in German', 'de');
  });
});

test('who is not signed in sees public paths, and learns nothing of the others', async () => {
  await inProfile({}, async (_context, page) => {
    assert.equal((await page.goto(`${demo.app}/public/about`)).status(), 200);
    const asked = await page.evaluate(async () => Promise.all(['/reports', '/no-such-path'].map(async (path) => {
      const answer = await fetch(path);
      const { status, title, detail } = await answer.json();
      return { status: answer.status, type: answer.headers.get('content-type'), said: [status, title, detail] };
    })));
    assert.equal(asked[0].status, 401);
    assert.match(asked[0].type, /^application\/problem\+json/);
    assert.deepEqual(asked[1], asked[0]);
  }, /status of 401/);
});

test('events flow through as they are made', async () => {
  await inProfile({}, async (_context, page) => {
    await visit(page, people.ben, `${demo.app}/`);
    const events = await page.evaluate(() => new Promise((done) => {
      const source = new EventSource('/events');
      const seen = [];
      source.onmessage = ({ data }) => { seen.push(data); if (seen.length === 2) { source.close(); done(seen); } };
    }));
    assert.deepEqual(events, ['tick 1', 'tick 2']);
  });
});
