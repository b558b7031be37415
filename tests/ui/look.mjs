// What the page of a running cart shows, looked at once a second: prints each change and, at the end, images a second.
//
// `node look.mjs URL [seconds] [PNG]`, 30 seconds without; the paths are those of setup.mjs. The screen as it is halfway is
// written to PNG.

import { launch } from './setup.mjs';

const [url, seconds = '30', picture] = process.argv.slice(2);
if (!url?.startsWith('http') || !(Number(seconds) > 0)) {
  console.error('usage: node look.mjs URL [seconds] [PNG], the URL that `echocart run` prints');
  process.exit(2);
}

// Inside the page.
function count() {
  window.delays = [];
  const canvas = document.querySelector('#image');
  new MutationObserver(() => window.delays.push(Number(canvas.dataset.delay))).observe(canvas, {
    attributeFilter: ['data-drawn'],
  });
}

function look() {
  const text = (selector) => document.querySelector(selector)?.innerText.replace(/\s+/g, ' ').trim() ?? '';
  const demo = (name) => (document.querySelector(`#${name}`).dataset.demo === 'true' ? ' DEMO' : '');
  return ['view', 'lvef'].map((name) => `${text(`#${name}`)}${demo(name)}`).concat(text('#image-state'));
}

const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1366, height: 768 } });
await page.goto(url);
await page.waitForFunction(() => document.querySelector('#image').dataset.drawn);
await page.evaluate(count);
const begin = Date.now();
let before = '';
for (let second = 0; second < Number(seconds); second += 1) {
  await page.waitForTimeout(1000 * (second + 1) - (Date.now() - begin));
  const now = (await page.evaluate(look)).join(' | ');
  if (now.replace(/\d/g, '') !== before.replace(/\d/g, '')) {
    console.log(`${second + 1} s: ${now}`);
    before = now;
  }
  if (picture && second === Math.floor(Number(seconds) / 2)) {
    await page.screenshot({ path: picture });
  }
}
const took = (Date.now() - begin) / 1000;
const delays = (await page.evaluate(() => window.delays)).sort((a, b) => a - b);
const at = (share) => delays[Math.min(Math.floor(share * delays.length), delays.length - 1)]?.toFixed(1);
console.log(`drew ${(delays.length / took).toFixed(2)} images/s over ${took.toFixed(1)} s, delay p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms`);
await browser.close();
