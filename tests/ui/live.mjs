// The live page on the recorded cine with the untrained package of generated weights.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cart } from './cart.mjs';
import { events, Readings } from './readings.mjs';
import { imageFingerprint, overflowing, readScreen } from './screen.mjs';
import { axePath, binary, check, folder, forgetExam, root, runArguments, showsBoth, until } from './setup.mjs';

const IMAGE_SECONDS = 5;
const PATIENCE_SECONDS = 40;
const ENOUGH = 5;
export const SIZES = [
  { width: 1920, height: 1080 },
  { width: 800, height: 1280 },
  { width: 1024, height: 768 },
  { width: 1280, height: 800 },
];

// A page that notes what the browser complains about and whom it talks to.
export async function watched(browser, url) {
  const page = await browser.newPage({ viewport: SIZES.at(-1) });
  const faults = { console: [], requests: [] };
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) {
      faults.console.push(message.text());
    }
  });
  page.on('pageerror', (error) => faults.console.push(String(error)));
  page.on('request', (request) => faults.requests.push(request.url()));
  page.on('websocket', (socket) => {
    faults.requests.push(socket.url().replace('ws://', 'http://'));
  });
  await page.goto(url);
  return { page, faults };
}

// The accessibility rules of WCAG 2 A and AA, by axe-core; contrast among them.
export async function axe(page) {
  await page.evaluate(readFileSync(axePath, 'utf8'));
  const found = await page.evaluate(async () => {
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const result = await window.axe.run(document, { runOnly: { type: 'tag', values: tags } });
    return {
      violations: result.violations.map(
        ({ id, nodes }) => `${id}: ${nodes.map((n) => `${n.target} ${n.any[0]?.message ?? ''}`).join('; ')}`,
      ),
      passes: result.passes.length,
    };
  });
  assert.deepEqual(found.violations, []);
  assert.ok(found.passes > 15, `only ${found.passes} rules applied`);
  return `${found.passes} rules passed`;
}

export async function fits(page, size) {
  await page.setViewportSize(size);
  await page.waitForTimeout(300);
  assert.deepEqual(await page.evaluate(overflowing), []);
}

async function checkPage(page, url, faults, readings) {
  await check('a view, an EF and an image appear', async () => {
    await until(page, 'a view and an EF', (screen) => showsBoth(screen) && screen.drawn > 0);
  });
  await check('the image changes and its frames advance', async () => {
    const first = await page.evaluate(readScreen);
    const pictures = new Set();
    let last = first;
    const passed = (start) => (Date.now() - start) / 1000;
    for (const start = Date.now(); passed(start) < IMAGE_SECONDS || pictures.size <= ENOUGH; ) {
      assert.ok(passed(start) < PATIENCE_SECONDS, `only ${pictures.size} different pictures`);
      pictures.add(await page.evaluate(imageFingerprint));
      const screen = await page.evaluate(readScreen);
      assert.ok(screen.drawn >= last.drawn && screen.frame >= last.frame, 'frames run backwards');
      readings.add(screen);
      last = screen;
      await page.waitForTimeout(100);
    }
    const [drawn, came] = [last.drawn - first.drawn, last.frame - first.frame];
    const said = await until(page, 'a rate', (s) => /\d+ of \d+ images\/s/.test(s.imageState));
    return `drew ${drawn} of ${came} source frames; the page says ${said.imageState}`;
  });
  await check('view and EF say DEMO and give no interval, no trend, no sentence', async () => {
    const screen = await until(page, 'a view and an EF', showsBoth);
    assert.equal(screen.view.demo, 'DEMO');
    assert.equal(screen.lvef.demo, 'DEMO');
    assert.match(screen.lvef.reading, /^-?\d+%DEMO$/, 'EF is one number and nothing else');
    assert.equal(screen.lvef.about, 'Demonstration, not a measurement');
    assert.deepEqual([screen.lvef.interval, screen.lvef.trend], ['', false]);
    assert.equal(screen.lvef.foreshortening, 'Foreshortening not checked');
  });
  await check('evidence age is shown and its state is in words', async () => {
    const screen = await until(page, 'a view and an EF', showsBoth);
    for (const { evidence, state } of [screen.view, screen.lvef]) {
      assert.match(evidence, /^Evidence \d+\.\d s to \d+\.\d s old$/);
      assert.match(state, /^(live|delayed)$/);
      const newest = Number(evidence.match(/[\d.]+/)[0]);
      assert.ok(Math.abs(newest - 1.5) < 0.06 || (newest > 1.5) === (state === 'delayed'));
    }
    return screen.lvef.evidence;
  });
  await check('banners, model, engine, ladder and the secondary display line are shown', async () => {
    const screen = await page.evaluate(readScreen);
    assert.match(screen.banners.join(' '), /untrained.*unsigned/is);
    assert.equal(screen.secondary, 'Secondary display, do not read from this image');
    assert.match(screen.health, /CPU.*fp32.*Step \S+.*image delay \d+ ms/);
    for (const part of ['onnxruntime', '@', 'config ', 'echocart ', 'untrained']) {
      assert.ok(screen.model.includes(part), `the model lines lack ${part}: ${screen.model}`);
    }
    assert.match(screen.signal, /^\d+\s%$/);
    return screen.health;
  });
  await check('every frame is accounted for', async () => {
    const { balance, counts } = await until(page, 'counters', (s) => s.counts !== '');
    assert.equal(balance, 'all accounted for');
    const [captured, ...rest] = counts.match(/\d+/g).map(Number);
    assert.equal(rest.reduce((sum, count) => sum + count, 0), captured, counts);
    return counts;
  });
  for (const size of SIZES) {
    await check(`${size.width}x${size.height} fits without scrolling`, async () => {
      await fits(page, size);
      await page.screenshot({ path: join(folder, `live-${size.width}x${size.height}.png`) });
    });
  }
  await check('no violation of WCAG A and AA', () => axe(page));
  await check('no console message of concern, no request to another host', async () => {
    assert.deepEqual(faults.console, []);
    assert.deepEqual(faults.requests.filter((address) => !address.startsWith(`${url}/`)), []);
    assert.ok(faults.requests.length >= 15, 'the page loaded its own files');
  });
}

async function checkGerman(page) {
  await check('the other language replaces every English sentence at once, and stays', async () => {
    await page.click('#language');
    const screen = await until(page, 'German', (s) => s.language === 'de' && showsBoth(s));
    assert.equal(screen.lvef.about, 'Vorführung, kein Messwert');
    assert.match(screen.view.evidence, /^Grundlage \d+,\d s bis \d+,\d s alt$/);
    assert.match(screen.banners[0], /^Untrainiertes Modell/);
    await page.reload();
    await until(page, 'German after a reload', (s) => s.language === 'de' && showsBoth(s));
    const text = await page.evaluate(() => document.body.innerText);
    for (const english of ['Capture', 'Freeze', 'Evidence', 'images', 'accounted', 'Engine', 'View', 'patient ', 'open']) {
      assert.ok(!text.includes(english), `"${english}" is left in German`);
    }
    await fits(page, SIZES.at(-1));
    await page.screenshot({ path: join(folder, 'live-german.png') });
    await page.click('#language');
    await until(page, 'English', (s) => s.language === 'en');
  });
}

async function checkEnd(page, cart, url, file, readings) {
  await check('a second program on the same port is refused in one line', async () => {
    const { args } = runArguments('taken', { address: url.replace('http://', '') });
    const second = new Cart(binary, root, args);
    const code = await second.end();
    second.abandon();
    assert.ok(Number.isInteger(code) && code > 0, `exit ${code}: ${second.output}`);
    assert.match(second.output, /serve\.address/);
    assert.doesNotMatch(second.output, /panicked/);
  });
  await check('an interrupt ends the program with exit code 0', async () => {
    cart.signal('SIGINT');
    assert.equal(await cart.end(), 0, cart.output);
  });
  await check('what the page showed is what the events say', async () => {
    const count = readings.compare(file, 'DEMONSTRATION');
    assert.ok(count.view >= 3 && count.lvef >= 2, `too few readings: ${JSON.stringify(count)}`);
    assert.ok(events(file).find((event) => event.session));
    return `${count.view} views and ${count.lvef} EF readings`;
  });
}

export async function checkLive(browser) {
  forgetExam('live');
  const { args, events: file } = runArguments('live', {});
  const cart = new Cart(binary, root, [...args, '--loop']);
  try {
    const url = await cart.address();
    const { page, faults } = await watched(browser, url);
    const readings = new Readings();
    await checkPage(page, url, faults, readings);
    await checkGerman(page);
    await checkEnd(page, cart, url, file, readings);
    await page.close();
  } finally {
    cart.abandon();
  }
}
