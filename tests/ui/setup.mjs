// What every check needs: paths, packages, configurations, a browser, one line per check.
//
// ECHOCART_BIN         the echocart program
// ECHOCART_ROOT        the checkout, with .echocart/ prepared
// ECHOCART_UI_MODULES  node_modules with what package.json asks for, or the folder that holds it
// CHROMIUM             the browser, /usr/bin/chromium when absent

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { readScreen } from './screen.mjs';

const PATIENCE_MILLIS = 30000;
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
    console.error(`${name}: expected a path, found nothing; see the head of tests/ui/setup.mjs`);
    process.exit(2);
  }
  return resolve(value);
}

export const binary = setting('ECHOCART_BIN');
export const root = setting('ECHOCART_ROOT');
export const folder = join(root, '.echocart', 'ui');
export const CINE = join('.echocart', 'data', 'color3d_jpeg_baseline.dcm');
export const GENERATED = join('.echocart', 'packages', 'generated');
const modules = createRequire(join(setting('ECHOCART_UI_MODULES'), 'package.json'));
const { chromium } = modules('playwright-core');
export const axePath = modules.resolve('axe-core/axe.min.js');

mkdirSync(folder, { recursive: true });

export const tally = { passed: 0 };
export async function check(name, body) {
  try {
    const note = await body();
    tally.passed += 1;
    console.log(`ok   ${name}${note ? `: ${note}` : ''}`);
  } catch (error) {
    throw new Error(`FAIL ${name}: ${error.message}`);
  }
}

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: CHROMIUM_ARGS,
  });

// Arguments of `echocart run` with the demo's configuration but for `changes` (key: value).
export function runArguments(name, { source = CINE, model = GENERATED, address = '127.0.0.1:0', ...changes }) {
  let config = readFileSync(join(root, 'configs', 'carts', 'demo.toml'), 'utf8');
  const state = join('.echocart', 'ui', `${changes.exam ?? name}-exam`);
  delete changes.exam;
  delete changes.more;
  for (const [key, value] of Object.entries({ address, state_folder: state, ...changes })) {
    const line = new RegExp(`^${key} = .*$`, 'm');
    assert.match(config, line, `configs/carts/demo.toml has no line with ${key}`);
    config = config.replace(line, `${key} = ${JSON.stringify(value)}`);
  }
  const file = join(folder, `${name}.toml`);
  writeFileSync(file, config);
  const events = join(folder, `${name}.jsonl`);
  const args = ['run', '--source', source, '--package', model, '--config', file, '--events', events];
  return { args, events };
}

// Forgets the exam that an earlier run of the same name has left.
export function forgetExam(name) {
  rmSync(join(folder, `${name}-exam`), { recursive: true, force: true });
}

// The package of generated weights as if it had been trained on simulated hearts and calibrated, so that it
// gives values on the phantom. `standard` maps its labels to the views of the checklist.
export function trialPackage(name, { standard, halfWidth }) {
  const to = join(folder, name);
  rmSync(to, { recursive: true, force: true });
  cpSync(join(root, GENERATED), to, { recursive: true, dereference: true });
  const file = join(to, 'package.toml');
  let text = readFileSync(file, 'utf8').replace('trained = "untrained"', 'trained = "simulated"');
  text = text.replace(/^\[view\.standard\]\n(?:.+\n)*/m, '');
  text = text.replace(/^\[calibration\]\n/m, '');
  const labels = text.match(/required_views = \[([^\]]*)\]/)[1];
  const pairs = Object.entries(standard).map(([label, view]) => `${label} = "${view}"\n`);
  text += `
[view.standard]
${pairs.join('')}
[calibration.fp32]
lvef = { coverage = 0.9, half_width = ${halfWidth.toFixed(1)}, patients = 20, estimates = 40, range = [5.0, 85.0], views = [${labels.replace(/\n/g, ' ')}] }
domain = { sources = ["a test"], patients = 25, files = 30, clips = 60, views = { A4C = 30 }, split = "none" }
`;
  writeFileSync(file, text);
  return to;
}

// Reads the screen until `wanted` holds, and returns that reading.
export async function until(page, what, wanted, patience = PATIENCE_MILLIS) {
  let screen;
  for (const start = Date.now(); Date.now() - start < patience; ) {
    screen = await page.evaluate(readScreen);
    if (wanted(screen)) {
      return screen;
    }
    await page.waitForTimeout(40);
  }
  throw new Error(`${what} did not happen; the page shows ${JSON.stringify(screen)}`);
}

export const showsBoth = (screen) => !screen.view.blank && !screen.lvef.blank;
