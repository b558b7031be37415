// Checks the running page in a headless browser, one line per check, first failure ends it.
//
// ECHOCART_BIN         the echocart program
// ECHOCART_ROOT        the checkout, with .echocart/ prepared
// ECHOCART_UI_MODULES  node_modules with what package.json asks for, or the folder that holds it
// CHROMIUM             the browser, /usr/bin/chromium when absent

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { Cart } from './cart.mjs';
import { events, Readings } from './readings.mjs';
import { contrastFaults, imageFingerprint, readScreen } from './screen.mjs';

const PATIENCE_MILLIS = 30000;
const IMAGE_SECONDS = 5;
const SETTLE_MILLIS = 2500;
const BLANK = '–';
const SIZES = [
  { width: 1024, height: 768 },
  { width: 1920, height: 1080 },
  { width: 1280, height: 800 },
];
const CHROMIUM_ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

function setting(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name}: expected a path, found nothing; see the head of tests/ui/run.mjs`);
    process.exit(2);
  }
  return resolve(value);
}

const binary = setting('ECHOCART_BIN');
const root = setting('ECHOCART_ROOT');
const modules = setting('ECHOCART_UI_MODULES');
const { chromium } = createRequire(join(modules, 'package.json'))('playwright-core');
const folder = join(root, '.echocart', 'ui');
const eventsFile = join(folder, 'events.jsonl');

let passed = 0;
async function check(name, body) {
  try {
    const note = await body();
    passed += 1;
    console.log(`ok   ${name}${note ? `: ${note}` : ''}`);
  } catch (error) {
    throw new Error(`FAIL ${name}: ${error.message}`);
  }
}

function runArguments(address, name) {
  const demo = readFileSync(join(root, 'configs', 'carts', 'demo.toml'), 'utf8');
  const config = demo.replace(/^address = .*$/m, `address = "${address}"`);
  assert.notEqual(config, demo, 'configs/carts/demo.toml has no line with `address`');
  const file = join(folder, name);
  writeFileSync(file, config);
  const source = join('.echocart', 'data', 'color3d_jpeg_baseline.dcm');
  const demoPackage = join('.echocart', 'packages', 'demo');
  return ['run', '--source', source, '--package', demoPackage, '--config', file, '--loop'];
}

// Reads the screen until `wanted` holds, and returns that reading.
async function until(page, what, wanted) {
  let screen;
  for (const start = Date.now(); Date.now() - start < PATIENCE_MILLIS; ) {
    screen = await page.evaluate(readScreen);
    if (wanted(screen)) {
      return screen;
    }
    await page.waitForTimeout(40);
  }
  throw new Error(`${what} did not happen; the page shows ${JSON.stringify(screen)}`);
}

function assertNoNumber(screen) {
  for (const name of ['view', 'lvef']) {
    assert.equal(screen[name].reading, BLANK, `${name} shows a number`);
    assert.equal(screen[name].demo, false, `${name} shows DEMO without a number`);
  }
  assert.equal(screen.share, '', 'the view keeps its probability');
  assert.ok(screen.bars.every((bar) => bar.percent === BLANK), 'bars keep their numbers');
  assert.ok(Object.values(screen.counts).every((count) => count === BLANK), 'counters stay');
}

const showsBoth = (screen) => !screen.view.blank && !screen.lvef.blank;

async function checkLive(page, url, faults, readings) {
  await check('a view, an EF and an image appear', async () => {
    await until(page, 'a view and an EF', (screen) => showsBoth(screen) && screen.drawn > 0);
  });
  await check('the image changes and its frames advance', async () => {
    const first = await page.evaluate(readScreen);
    const pictures = new Set();
    let last = first;
    for (const start = Date.now(); Date.now() - start < IMAGE_SECONDS * 1000; ) {
      pictures.add(await page.evaluate(imageFingerprint));
      const screen = await page.evaluate(readScreen);
      assert.ok(screen.drawn >= last.drawn && screen.frame >= last.frame, 'frames run backwards');
      readings.add(screen);
      last = screen;
      await page.waitForTimeout(100);
    }
    assert.ok(last.drawn > first.drawn, `no image drawn in ${IMAGE_SECONDS} s`);
    assert.ok(pictures.size > 5, `only ${pictures.size} different pictures`);
    const [drawn, came] = [last.drawn - first.drawn, last.frame - first.frame];
    return `drew ${drawn} of ${came} source frames, ${pictures.size} pictures compared`;
  });
  await check('view and EF say DEMO and give no interval', async () => {
    const screen = await until(page, 'a view and an EF', showsBoth);
    assert.equal(screen.view.demo, 'DEMO');
    assert.equal(screen.lvef.demo, 'DEMO');
    const labels = screen.bars.map((bar) => bar.label);
    assert.ok(labels.includes(screen.view.text), `${screen.view.text} is not one of ${labels}`);
    assert.match(screen.lvef.reading, /^-?\d+%DEMO$/, 'EF is one number and nothing else');
    assert.match(screen.lvef.about, /not a measurement/);
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
  await check('banners, model and the secondary display line are shown', async () => {
    const screen = await page.evaluate(readScreen);
    assert.ok(screen.banners.length >= 2, `banners: ${JSON.stringify(screen.banners)}`);
    assert.match(screen.banners.join(' '), /untrained/i);
    assert.match(screen.banners.join(' '), /unsigned/i);
    assert.equal(screen.secondary, 'Secondary display, do not read from this image');
    for (const part of ['CPU', 'onnxruntime', '@', 'config ', 'echocart ', 'untrained']) {
      assert.ok(screen.model.includes(part), `the model line lacks ${part}: ${screen.model}`);
    }
  });
  await check('every frame is accounted for', async () => {
    const screen = await until(page, 'counters', (s) => Number(s.counts.captured) > 0);
    const { captured, ...rest } = screen.counts;
    const sum = Object.values(rest).reduce((total, count) => total + Number(count), 0);
    assert.equal(sum, Number(captured), JSON.stringify(screen.counts));
    assert.equal(screen.balance, 'all accounted for');
    return JSON.stringify(screen.counts);
  });
  for (const size of SIZES) {
    await check(`${size.width}x${size.height} fits without scrolling`, async () => {
      await page.setViewportSize(size);
      await until(page, 'a view and an EF', showsBoth);
      const over = await page.evaluate(() => {
        const { scrollHeight, scrollWidth } = document.documentElement;
        return [scrollWidth - innerWidth, scrollHeight - innerHeight];
      });
      assert.ok(over.every((px) => px <= 0), `too large by ${over} px`);
      await page.waitForTimeout(SETTLE_MILLIS);
      await until(page, 'a view and an EF', showsBoth);
      await page.screenshot({ path: join(folder, `live-${size.width}x${size.height}.png`) });
    });
  }
  await check('text has the contrast of WCAG AA', () => contrast(page));
  await check('no console message of concern, no request to another host', async () => {
    assert.deepEqual(faults.console, []);
    assert.deepEqual(faults.requests.filter((address) => !address.startsWith(`${url}/`)), []);
    assert.ok(faults.requests.length >= 7, 'the page loaded its own files');
  });
}

async function contrast(page) {
  const { faults, lowest, checked } = await page.evaluate(contrastFaults);
  assert.deepEqual(faults, []);
  assert.ok(checked > 20, `only ${checked} pieces of text found`);
  return `${checked} pieces of text, lowest ratio ${lowest.toFixed(2)}`;
}

// A page that is given no estimate after the first with both numbers, but everything else.
async function checkExpiry(browser, url) {
  await check('a number vanishes when its time is up, while the runtime still speaks', async () => {
    const page = await browser.newPage({ viewport: SIZES.at(-1) });
    let held = false;
    await page.routeWebSocket(/\/ws$/, (socket) => {
      const server = socket.connectToServer();
      server.onMessage((message) => {
        const event = typeof message === 'string' ? JSON.parse(message) : {};
        if (event.type !== 'estimate') {
          socket.send(message);
        } else if (!held) {
          held = [event.view, event.lvef].every((output) => output.status === 'DEMONSTRATION');
          socket.send(message);
        }
      });
    });
    await page.goto(url);
    await until(page, 'a view and an EF', showsBoth);
    const screen = await until(page, 'blank outputs', (s) => s.view.blank && s.lvef.blank);
    assert.equal(screen.link, 'connected');
    for (const { about, reading, demo } of [screen.view, screen.lvef]) {
      assert.deepEqual([about, reading, demo], ['Too old to show', BLANK, false]);
    }
    await page.close();
  });
}

async function checkTrouble(page, cart, url, readings) {
  await check('numbers vanish by themselves when the runtime falls silent', async () => {
    cart.signal('SIGSTOP');
    const screen = await until(page, 'a blank page', (s) => s.link === 'silent');
    assertNoNumber(screen);
    assert.equal(screen.notice, 'No signal from the runtime');
    await page.screenshot({ path: join(folder, 'silent.png') });
    await contrast(page);
  });
  await check('numbers return when the runtime goes on', async () => {
    cart.signal('SIGCONT');
    readings.add(await until(page, 'a view and an EF', showsBoth));
  });
  await check('a second program on the same port is refused in one line', async () => {
    const args = runArguments(url.replace('http://', ''), 'taken.toml');
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
  await check('the page says that the connection is lost and shows no number', async () => {
    const screen = await until(page, 'a lost connection', (s) => s.link === 'lost');
    assertNoNumber(screen);
    assert.match(screen.notice, /lost/);
    assert.ok(screen.banners.length >= 2, 'the banners stay');
    await page.screenshot({ path: join(folder, 'lost.png') });
  });
}

async function checkAgainstEvents(labels, readings) {
  await check('the page lists the labels of the package in order', async () => {
    const { session } = events(eventsFile).find((event) => event.session);
    assert.deepEqual(labels, session.labels);
  });
  await check('what the page showed is what the events say', async () => {
    const count = readings.compare(eventsFile);
    assert.ok(count.view >= 3 && count.lvef >= 2, `too few readings: ${JSON.stringify(count)}`);
    return `${count.view} views and ${count.lvef} EF readings`;
  });
}

async function checkReturn(page, url) {
  await check('a new run at the same address is taken up by itself', async () => {
    const file = join(folder, 'events-again.jsonl');
    const args = runArguments(url.replace('http://', ''), 'again.toml');
    const again = new Cart(binary, root, [...args, '--events', file]);
    try {
      await again.address();
      const readings = new Readings();
      readings.add(await until(page, 'a view', (screen) => !screen.view.blank));
      readings.add(await until(page, 'a view and an EF', showsBoth));
      again.signal('SIGINT');
      assert.equal(await again.end(), 0, again.output);
      readings.compare(file);
    } finally {
      again.abandon();
    }
  });
}

async function main() {
  mkdirSync(folder, { recursive: true });
  const args = runArguments('127.0.0.1:0', 'cart.toml');
  const cart = new Cart(binary, root, [...args, '--events', eventsFile]);
  let browser;
  try {
    const url = await cart.address();
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: CHROMIUM_ARGS,
    });
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
    const readings = new Readings();
    await checkLive(page, url, faults, readings);
    const { bars } = await page.evaluate(readScreen);
    await checkExpiry(browser, url);
    await checkTrouble(page, cart, url, readings);
    await checkAgainstEvents(bars.map((bar) => bar.label), readings);
    await checkReturn(page, url);
    console.log(`${passed} passed, 0 failed`);
  } finally {
    cart.abandon();
    await browser?.close();
  }
}

main().catch((error) => {
  console.error(error.message);
  console.error(`${passed} passed, 1 failed`);
  process.exitCode = 1;
});
