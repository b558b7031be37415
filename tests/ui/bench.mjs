// How the page keeps up with a model that takes 2 s per clip: prints a table in Markdown.
//
// `node bench.mjs [seconds per rate] [rates]`, 600 and 30,60 without; the paths are those of setup.mjs. One page and
// three plain WebSocket readers, a simulated heart at 30 and at 60 frames/s: 4 s of it, which `run --loop` keeps
// (256 MiB at most) and plays from memory, since a scanner draws its images itself.

import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { Cart } from './cart.mjs';
import { binary, forgetExam, launch, root, runArguments } from './setup.mjs';

const SECONDS = Number(process.argv[2] ?? 600);
const RATES = (process.argv[3] ?? '30,60').split(',').map(Number);
const READERS = 3;
const SETTLE_MILLIS = 15000;
const MEMORY_EVERY_MILLIS = 10000;
const DELAY_MILLIS = 2000;
const LOOK_EVERY_MILLIS = 20;
const SPIN_MILLIS = 300;

// Inside the page: delays of drawn images, the screen's own frames and tasks longer than 50 ms.
function watch() {
  window.bench = { delays: [], long: [], frames: 0, from: performance.now() };
  requestAnimationFrame(function count() {
    window.bench.frames += 1;
    requestAnimationFrame(count);
  });
  new PerformanceObserver((list) => {
    window.bench.long.push(...list.getEntries().map((entry) => [performance.timeOrigin + entry.startTime, entry.duration]));
  }).observe({ type: 'longtask' });
  const canvas = document.querySelector('#image');
  new MutationObserver(() => {
    window.bench.delays.push(Number(canvas.dataset.delay));
  }).observe(canvas, { attributeFilter: ['data-drawn'] });
}

// Inside another page: plain readers, which draw nothing.
function read(readers) {
  window.counts = new Array(readers).fill(0);
  window.sockets = window.counts.map((_, at) => {
    const socket = new WebSocket(`ws://${location.host}/ws`);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => {
      if (typeof data !== 'string') {
        window.counts[at] += 1;
        socket.send('seen');
      }
    };
    return socket;
  });
}

const quantile = (sorted, share) => sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)];

// In MB; a collection of the page's garbage is a long task of its own and is asked for outside of the measurement only.
async function heap(devtools, collected) {
  if (collected) {
    await devtools.send('HeapProfiler.collectGarbage');
  }
  const { usedSize } = await devtools.send('Runtime.getHeapUsage');
  return usedSize / 1e6;
}

// In ms.
function scheduled(file) {
  const [ran, waited] = readFileSync(file, 'utf8').split(' ').map((nanos) => Number(nanos) / 1e6);
  return { ran, waited };
}

// What the main thread of a process did: Linux counts the time for which it computed and the time for which it was
// ready and had to wait for a processor. A task that is long because others compute is not the page's.
class MainThread {
  #file;
  #samples = [];
  #timer;

  constructor(file) {
    this.#file = file;
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MILLIS);
  }

  #look() {
    this.#samples.push({ at: Date.now(), ...scheduled(this.#file) });
  }

  end() {
    clearInterval(this.#timer);
  }

  // In words, from the look before a task to the one after it.
  during([start, millis]) {
    const from = this.#samples.findLast(({ at }) => at <= start) ?? this.#samples[0];
    const to = this.#samples.find(({ at }) => at >= start + millis) ?? this.#samples.at(-1);
    const whole = (name) => Math.round(to[name] - from[name]);
    return `${Math.round(millis)} ms: in ${to.at - from.at} ms around it computed ${whole('ran')}, waited for a processor ${whole('waited')}`;
  }
}

// The file of the process that draws `page`: the one that computes when the page is asked to.
async function fileOf(browser, page) {
  const devtools = await browser.newBrowserCDPSession();
  const { processInfo } = await devtools.send('SystemInfo.getProcessInfo');
  await devtools.detach();
  const files = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => `/proc/${id}/schedstat`);
  const before = files.map((file) => scheduled(file).ran);
  await page.evaluate((millis) => {
    const from = performance.now();
    while (performance.now() - from < millis);
  }, SPIN_MILLIS);
  const ran = files.map((file, at) => scheduled(file).ran - before[at]);
  return files[ran.indexOf(Math.max(...ran))];
}

async function measure(browser, rate) {
  forgetExam('bench');
  const source = `phantom:view=A4C,ef=55,hr=70,seed=3,seconds=4,fps=${rate}`;
  const { args } = runArguments('bench', { source, valid_for_millis: 8000 });
  const cart = new Cart(binary, root, [...args, '--loop', '--bench-delay-millis', String(DELAY_MILLIS)]);
  try {
    const url = await cart.address();
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await page.goto(url);
    const others = await browser.newPage();
    await others.goto(`${url}/summary`);
    await others.evaluate(read, READERS);
    await page.waitForTimeout(SETTLE_MILLIS);
    const file = await fileOf(browser, page);
    const devtools = await page.context().newCDPSession(page);
    const collected = [await heap(devtools, true)];
    await page.evaluate(watch);
    await others.evaluate(() => window.counts.fill(0));
    const frameBefore = await page.evaluate(() => Number(document.querySelector('#image').dataset.frame));
    const memory = [];
    const thread = new MainThread(file);
    const began = Date.now();
    while (Date.now() - began < SECONDS * 1000) {
      await page.waitForTimeout(Math.min(MEMORY_EVERY_MILLIS, SECONDS * 1000));
      memory.push(await heap(devtools, false));
    }
    const seen = await page.evaluate(() => ({
      ...window.bench,
      millis: performance.now() - window.bench.from,
      frame: Number(document.querySelector('#image').dataset.frame),
    }));
    thread.end();
    const counts = await others.evaluate(() => window.counts);
    collected.push(await heap(devtools, true));
    const delays = seen.delays.sort((a, b) => a - b);
    const seconds = seen.millis / 1000;
    await page.close();
    await others.close();
    return [
      rate,
      (seen.delays.length / seconds).toFixed(2),
      (seen.frames / seconds).toFixed(2),
      ((seen.frame - frameBefore) / seconds).toFixed(2),
      counts.map((count) => (count / seconds).toFixed(1)).join(', '),
      ['0.5', '0.95', '0.99'].map((share) => quantile(delays, Number(share)).toFixed(1)).join(' / '),
      [seen.long.length, ...seen.long.map((task) => thread.during(task))].join('; '),
      collected.map((used) => used.toFixed(2)).join(', '),
      [Math.min(...memory), Math.max(...memory)].map((used) => used.toFixed(2)).join(' to '),
    ];
  } finally {
    cart.abandon();
  }
}

const browser = await launch();
try {
  const [processor] = cpus();
  console.log(`${cpus().length} cores (${processor.model}), ${SECONDS} s per rate, model delayed by ${DELAY_MILLIS} ms per clip (slept),`);
  console.log(`one page and ${READERS} plain readers, Chromium ${browser.version()} headless without a GPU, Node ${process.version}.`);
  console.log('');
  console.log('| source, frames/s | page drew, images/s | screen, frames/s | source gave, frames/s | readers got, images/s | capture to drawn p50 / p95 / p99, ms | long tasks (> 50 ms) | JS heap collected, MB: before, after | while it ran | load |');
  console.log('|---|---|---|---|---|---|---|---|---|---|');
  for (const rate of RATES) {
    const row = await measure(browser, rate);
    console.log(`| ${[...row, loadavg()[0].toFixed(1)].join(' | ')} |`);
  }
} finally {
  await browser.close();
}
