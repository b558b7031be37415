// Each kind of trouble, provoked: no old number is ever shown as new.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Cart } from './cart.mjs';
import { watched } from './live.mjs';
import { Readings } from './readings.mjs';
import { binary, check, folder, forgetExam, root, runArguments, showsBoth, until } from './setup.mjs';

const PHANTOM = 'phantom:view=A4C,ef=55,hr=70,seed=3,seconds=600,size=200x150,fps=10';
const LATE_MILLIS = 500;
const FRESH_NANOS = 1.5e9;
const RUNNING = /^(live|delayed)$/;

function assertNoNumber(screen) {
  for (const name of ['view', 'lvef']) {
    assert.equal(screen[name].reading, '', `${name} shows a number`);
    assert.equal(screen[name].demo, false, `${name} shows DEMO without a number`);
  }
  assert.equal(screen.share, '–', 'the view keeps its probability');
  assert.equal(screen.counts, '', 'counters stay');
}

// Runs `body` with a cart and a page of it.
async function withCart(browser, name, options, body) {
  forgetExam(name);
  const { args, events } = runArguments(name, options);
  const cart = new Cart(binary, root, [...args, ...(options.more ?? [])]);
  try {
    const url = await cart.address();
    const { page, faults } = await watched(browser, url);
    await body({ cart, url, page, events, faults });
    await page.close();
  } finally {
    cart.abandon();
  }
}

// A page whose messages pass through `filter(message, event)`; false holds one back.
async function filtered(browser, url, filter, prepare = async () => {}) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await prepare(page);
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => {
      const event = typeof message === 'string' ? JSON.parse(message) : {};
      const passed = filter(event, message);
      if (passed) {
        socket.send(typeof passed === 'object' && !Buffer.isBuffer(passed) ? JSON.stringify(passed) : message);
      }
    });
  });
  await page.goto(url);
  return page;
}

// Lets estimates pass until one with both numbers that is fresh enough to be seen.
function untilBoth() {
  const held = { at: null };
  const filter = (event) => {
    if (event.type !== 'estimate') {
      return true;
    }
    if (held.at !== null) {
      return false;
    }
    const fresh = ({ status, evidence }) =>
      status === 'DEMONSTRATION' && evidence.age_newest_nanos < FRESH_NANOS;
    if ([event.view, event.lvef].every(fresh)) {
      held.at = event;
    }
    return true;
  };
  return { held, filter };
}

async function checkExpiry(browser, url) {
  await check('a number vanishes when its time is up, while the runtime still speaks', async () => {
    const { held, filter } = untilBoth();
    const page = await filtered(browser, url, filter);
    const stale = ({ state }) => state === 'stale';
    const blank = (s) => held.at !== null && stale(s.view) && stale(s.lvef);
    const screen = await until(page, 'blank outputs', blank);
    assert.equal(screen.link, 'connected');
    for (const { about, reading, demo, state } of [screen.view, screen.lvef]) {
      assert.deepEqual([about, reading, demo, state], ['Too old to show', '', false, 'stale']);
    }
    await page.screenshot({ path: join(folder, 'stale.png') });
    await page.close();
  });
  await check('also in a browser that lets timers run once a second only', async () => {
    const { held, filter } = untilBoth();
    const page = await filtered(
      browser,
      url,
      filter,
      (page) =>
        page.addInitScript(() => {
          for (const name of ['setTimeout', 'setInterval']) {
            const plain = window[name].bind(window);
            window[name] = (body, millis = 0, ...rest) => plain(body, Math.max(millis, 1000), ...rest);
          }
        }),
    );
    for (const start = Date.now(); held.at === null && Date.now() - start < 30000; ) {
      await page.waitForTimeout(20);
    }
    assert.ok(held.at, 'no fresh estimate came');
    const late = await page.evaluate(
      () =>
        new Promise((resolve) => {
          const { dataset } = document.querySelector('#lvef');
          const look = () => {
            const gone = dataset.blank === 'true' && dataset.state === 'stale';
            gone ? resolve(performance.now() - Number(dataset.until)) : requestAnimationFrame(look);
          };
          look();
        }),
    );
    assert.ok(late < LATE_MILLIS, `the number stayed ${late} ms too long`);
    await page.close();
    return `gone ${Math.round(late)} ms after its time`;
  });
}

async function checkNetwork(browser, url) {
  await check('a dropped network blanks within its half second and heals by itself', async () => {
    let down = false;
    const page = await filtered(browser, url, () => !down);
    await until(page, 'a view and an EF', showsBoth);
    down = true;
    const screen = await until(page, 'silence', (s) => s.link === 'silent');
    assertNoNumber(screen);
    assert.equal(screen.notice, 'No signal from the runtime');
    await until(page, 'a connection given up', (s) => s.link === 'lost' || s.link === 'connecting');
    down = false;
    await until(page, 'a view and an EF', showsBoth);
    await page.close();
  });
}

// Trouble that the events of a session tell of, put between the real ones.
async function checkEngineDown(browser, url) {
  await check('a failed engine: no number, in words, until the next estimate', async () => {
    let down = false;
    const withheld = (output) => ({ ...output, status: 'WITHHELD', reason: 'ENGINE_DOWN', value: undefined });
    const page = await filtered(browser, url, (event) =>
      down && event.type === 'estimate'
        ? { ...event, view: withheld(event.view), lvef: withheld(event.lvef) }
        : true,
    );
    await until(page, 'a view and an EF', showsBoth);
    down = true;
    const failed = (s) => s.lvef.about === 'The calculation failed' && RUNNING.test(s.imageLook);
    const screen = await until(page, 'the reason while the image goes on', failed);
    assert.ok(screen.lvef.blank && screen.view.blank);
    down = false;
    await until(page, 'a view and an EF', showsBoth);
    await page.close();
  });
}

async function checkSilence(cart, page, url, readings) {
  await check('numbers vanish by themselves when the runtime falls silent', async () => {
    cart.signal('SIGSTOP');
    const screen = await until(page, 'a blank page', (s) => s.link === 'silent');
    assertNoNumber(screen);
    await page.screenshot({ path: join(folder, 'silent.png') });
    cart.signal('SIGCONT');
    readings.add(await until(page, 'a view and an EF', showsBoth));
  });
  await check('a reload finds everything again', async () => {
    await page.reload();
    readings.add(await until(page, 'a view and an EF', showsBoth));
  });
  await check('a stop: connection lost, no number, the banners stay; a new run is taken up', async () => {
    cart.signal('SIGINT');
    assert.equal(await cart.end(), 0, cart.output);
    const screen = await until(page, 'a lost connection', (s) => s.link === 'lost');
    assertNoNumber(screen);
    assert.match(screen.notice, /lost/);
    assert.ok(screen.banners.length >= 2, 'the banners stay');
    await page.screenshot({ path: join(folder, 'lost.png') });
    const { args, events } = runArguments('again', { address: url.replace('http://', ''), exam: 'silence', auto_capture_millis: 0 });
    const again = new Cart(binary, root, [...args, '--loop']);
    try {
      await again.address();
      const later = new Readings();
      later.add(await until(page, 'a view and an EF', showsBoth));
      again.signal('SIGINT');
      assert.equal(await again.end(), 0, again.output);
      later.compare(events, 'DEMONSTRATION');
    } finally {
      again.abandon();
    }
  });
}

async function checkLate(browser) {
  const options = { valid_for_millis: 8000, more: ['--loop', '--bench-delay-millis', '2000'] };
  await withCart(browser, 'late', options, async ({ page }) => {
    await check('a model that takes two seconds: the image keeps its rate, numbers say delayed', async () => {
      const screen = await until(page, 'a delayed view', (s) => !s.view.blank && s.view.look === 'delayed');
      assert.equal(screen.view.state, 'delayed');
      assert.match(screen.banners.join(' '), /bench: 2000 ms/);
      const later = await until(page, 'images', (s) => /\d+ of \d+ images/.test(s.imageState));
      await page.screenshot({ path: join(folder, 'delayed.png') });
      return `${later.imageState}; ${screen.view.evidence}`;
    });
  });
}

async function checkPatient(browser) {
  const source = `fault:10s..20s freeze|${PHANTOM}`;
  await withCart(browser, 'patient', { source, ask_after_seconds: 5, auto_capture_millis: 0, valid_for_millis: 8000 }, async ({ page }) => {
    await check('a frozen scanner: the EF moves to Captured, Live says paused', async () => {
      await until(page, 'a view and an EF', showsBoth);
      const screen = await until(page, 'frozen', (s) => s.lvef.look === 'frozen');
      assert.equal(screen.lvef.about, 'Frozen: live estimate paused');
      await until(page, 'the capture', (s) => /on freeze/.test(s.captured?.when));
    });
    await check('no ultrasound for the set time: it asks, and gives no EF until it is told', async () => {
      const asked = await until(page, 'the question', (s) => /same patient/.test(s.ask));
      assert.match(asked.ask, /No live ultrasound for 5 s/);
      const screen = await until(page, 'live images again', (s) => !s.view.blank);
      assert.ok(screen.lvef.blank, 'an EF before the answer');
      assert.equal(screen.lvef.about, 'Waiting for your answer');
      await page.screenshot({ path: join(folder, 'asking.png') });
      await page.click('#other');
      await until(page, 'a new exam', (s) => s.ask === '' && s.captured === null);
      await until(page, 'its EF', showsBoth);
    });
  });
}

async function checkSource(browser) {
  const source = `fault:12s disconnect 6s|${PHANTOM}`;
  await withCart(browser, 'source', { source, valid_for_millis: 8000, more: ['--seconds', '40'] }, async ({ page }) => {
    await check('a source that goes: image and numbers say so, and come back', async () => {
      await until(page, 'a view and an EF', showsBoth);
      const screen = await until(page, 'no source', (s) => /source is gone/.test(s.notice));
      assert.ok(screen.lvef.blank && screen.view.blank);
      await page.screenshot({ path: join(folder, 'source-gone.png') });
      await until(page, 'images again', (s) => RUNNING.test(s.imageLook) && showsBoth(s));
    });
    await check('a source that ends: said, and no number stays', async () => {
      const screen = await until(page, 'the end', (s) => !RUNNING.test(s.imageLook) && s.lvef.blank);
      assert.ok(screen.view.blank || screen.lvef.blank);
    });
  });
}

// What the way between runtime and page can do.
export async function checkLink(browser) {
  await withCart(browser, 'silence', { auto_capture_millis: 0, more: ['--loop'] }, async ({ cart, url, page, events }) => {
    const readings = new Readings();
    readings.add(await until(page, 'a view and an EF', showsBoth));
    await checkExpiry(browser, url);
    await checkNetwork(browser, url);
    await checkEngineDown(browser, url);
    await checkSilence(cart, page, url, readings);
    await check('nothing else was shown than the events say', () => {
      const count = readings.compare(events, 'DEMONSTRATION');
      return `${count.view} views, ${count.lvef} EF readings`;
    });
  });
}

// What model, scanner and source can do.
async function checkGuide(browser) {
  await check('beside a guide both packages are named, and its view is live', async () => {
    const more = ['--guide', join('.echocart', 'packages', 'demo')];
    await withCart(browser, 'guide', { source: PHANTOM, more }, async ({ page, faults }) => {
      await page.waitForFunction(() => document.querySelector('#view').dataset.state === 'live');
      const said = await page.evaluate(() => ({
        banners: [...document.querySelectorAll('#banners li')].map((item) => item.textContent),
        build: document.querySelector('#build').textContent,
        page: document.body.textContent,
      }));
      assert.ok(said.banners.some((text) => text.startsWith('View guide: Trained on simulated hearts')), said.banners.join());
      assert.ok(said.banners.some((text) => text.startsWith('Untrained model')), said.banners.join());
      assert.match(said.build, /echojepa-demo@.*echojepa-standin@/);
      assert.match(said.page, /View guide CPU/);
      assert.deepEqual(faults.console, []);
    });
  });
}

export async function checkSources(browser) {
  await checkGuide(browser);
  await checkLate(browser);
  await checkPatient(browser);
  await checkSource(browser);
}
