// A whole exam on a simulated heart, with a package that gives values there.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Cart } from './cart.mjs';
import { axe, fits, SIZES, watched } from './live.mjs';
import { estimates, events, expectedSentence, Readings, separates } from './readings.mjs';
import { binary, check, folder, forgetExam, root, runArguments, showsBoth, trialPackage, until } from './setup.mjs';

const VIEWS = ['PLAX', 'PSAX-AV', 'PSAX-MV', 'PSAX-PM', 'A4C', 'A5C', 'A2C', 'A3C', 'SC-4C', 'SC-IVC'];
const PHANTOM = 'phantom:view=A4C,ef=55,hr=70,seed=3,seconds=600,size=200x150,fps=10';

// Every label the model may give means A4C here: the weights are generated.
async function labelOf(browser) {
  const cart = new Cart(binary, root, runArguments('probe', { source: PHANTOM, valid_for_millis: 8000 }).args);
  try {
    const { page } = await watched(browser, await cart.address());
    const { view } = await until(page, 'a view', (screen) => !screen.view.blank);
    await page.close();
    return view.text;
  } finally {
    cart.abandon();
  }
}

const captures = (screen) => Object.values(screen.tiles).filter(({ state }) => state !== 'open' && state !== 'next').length;

// A foot switch is a keyboard with one key, which playwright has no name for.
const foot = (page, key) =>
  page.evaluate((pressed) => {
    document.body.dispatchEvent(new KeyboardEvent('keydown', { key: pressed, bubbles: true }));
  }, key);

async function state(page) {
  return (await (await page.request.get(new URL('/exam', page.url()).href)).json()).exam;
}

async function checkAuto(page) {
  await check('a value has its sentence, interval and what it cannot tell', async () => {
    const screen = await until(page, 'a view and an EF', showsBoth);
    assert.match(screen.lvef.about, /^EF about \d+\u00a0% \(90\u00a0%: \d+ to \d+\), AI, \S+ only, no tracing to check$/);
    assert.match(screen.lvef.interval, /^\d+–\d+$/);
    assert.equal(screen.lvef.foreshortening, 'Foreshortening not checked');
    assert.equal(screen.lvef.demo, false);
    return screen.lvef.about;
  });
  await check('a held view is captured by itself and waits for a decision', async () => {
    const screen = await until(page, 'an automatic capture', (s) => s.captured !== null);
    assert.equal(screen.captured.view, 'A4C');
    assert.match(screen.captured.when, /automatic/);
    assert.match(screen.captured.heart, /^Heart rate(, beats: not measured| \d+\/min, beats \d+)$/);
    assert.equal(screen.tiles.A4C.state, 'captured');
    return screen.captured.when;
  });
  await check('it is accepted, and its line of the checklist says so', async () => {
    await page.click('#accept');
    const screen = await until(page, 'accepted', (s) => s.tiles.A4C.state === 'accepted');
    assert.equal(screen.captured.decided, '✓ accepted');
    await until(page, 'a trend', (s) => s.lvef.trend);
  });
}

async function checkHands(page) {
  await check('nine views by hand: touched, captured with the key or the foot switch, decided', async () => {
    for (const [at, view] of VIEWS.filter((v) => v !== 'A4C').entries()) {
      await page.locator('#checklist button', { hasText: new RegExp(`^${view}`) }).click();
      await until(page, `${view} next`, (s) => s.tiles[view].state === 'next');
      await until(page, 'an EF', showsBoth);
      await (at % 2 ? foot(page, 'F13') : page.keyboard.press('c'));
      const screen = await until(page, `${view} captured`, (s) => s.captured?.view === view);
      assert.equal(screen.captured.by, 'by you');
      if (at === 0) {
        await page.click('#reject');
        await page.click('[data-reason="FORESHORTENED"]');
        await until(page, 'rejected', (s) => s.captured.decided === '✓ EF rejected: Foreshortened');
      } else {
        await page.click('#accept');
      }
      await until(page, `${view} accepted`, (s) => s.tiles[view].state === 'accepted');
    }
  });
  await check('the best clip of the last seconds, retake and delete', async () => {
    const before = (await state(page)).captures.length;
    await page.click('#do-best');
    const screen = await until(page, 'the best clip', (s) => /best clip/.test(s.captured?.when));
    await page.click('#delete');
    await until(page, 'gone', (s) => s.captured?.id !== screen.captured.id);
    assert.equal((await state(page)).captures.length, before);
    await page.locator('#checklist button', { hasText: /^A3C/ }).click();
    await page.click('#retake');
    await until(page, 'A3C next', (s) => s.tiles.A3C.state === 'next');
    await page.keyboard.press('c');
    await until(page, 'A3C captured', (s) => s.tiles.A3C.state === 'captured');
    await page.click('#accept');
    await until(page, 'A3C accepted', (s) => s.tiles.A3C.state === 'accepted');
  });
}

async function checkOwn(page) {
  await check('with one’s own EF first, the model’s is hidden live and captured until it is given', async () => {
    await page.click('#own-first');
    await until(page, 'hidden', (s) => s.lvef.look === 'hidden' && s.lvef.blank);
    await page.keyboard.press('c');
    const screen = await until(page, 'a hidden capture', (s) => /Hidden/.test(s.captured?.about));
    assert.equal(screen.captured.ef, '');
    assert.doesNotMatch(await page.locator('#captured').innerText(), /\d+\s*%/);
    await page.click('#own-ef');
    for (const digit of '48') {
      await page.locator('#digits button', { hasText: digit }).click();
    }
    await page.screenshot({ path: join(folder, 'keypad.png') });
    await page.click('#keypad-enter');
    const shown = await until(page, 'both', (s) => s.captured.own !== '' && s.captured.ef !== '');
    assert.equal(shown.captured.own, 'Own EF 48\u00a0%, given before the AI’s');
    await page.click('#accept');
    await page.click('#own-first');
    await until(page, 'a live EF again', showsBoth);
    return shown.captured.own;
  });
}

async function checkFreeze(page, browser) {
  await check('a foot switch freezes: the EF moves, Live says why it is empty, viewers agree', async () => {
    const before = await until(page, 'an EF', showsBoth);
    await foot(page, 'F14');
    const screen = await until(page, 'frozen', (s) => s.imageLook === 'frozen' && /on freeze/.test(s.captured?.when));
    assert.equal(screen.lvef.about, 'Frozen: live estimate paused');
    assert.ok(screen.lvef.blank && screen.view.blank);
    assert.match(screen.captured.about, /^EF about/);
    assert.ok(before.drawn > 0);
    const { page: other } = await watched(browser, page.url());
    const seen = await until(other, 'frozen there too', (s) => s.imageLook === 'frozen' && s.captured?.id === screen.captured.id);
    assert.equal(seen.captured.about, screen.captured.about);
    await other.waitForFunction(() => document.querySelector('#image').width === 200);
    await page.waitForTimeout(500);
    await page.screenshot({ path: join(folder, 'frozen.png') });
    await other.close();
    await page.reload();
    await until(page, 'frozen after a reload', (s) => s.lvef.about === 'Frozen: live estimate paused' && s.captured);
    await page.click('#do-freeze');
    await until(page, 'live again', showsBoth);
  });
}

async function checkSwitches(page) {
  await check('guidance and measurement go off one by one', async () => {
    await page.click('#measurement');
    await until(page, 'no EF', (s) => s.lvef.look === 'off' && !s.view.blank);
    await page.click('#guidance');
    const screen = await until(page, 'no view', (s) => s.view.look === 'off' && s.lvef.look === 'off');
    assert.equal(screen.lvef.about, 'Switched off');
    await page.click('#measurement');
    await until(page, 'an EF without a view', (s) => !s.lvef.blank && s.view.look === 'off');
    await page.click('#guidance');
    await until(page, 'both', showsBoth);
  });
  await check('every control is reached and used by keyboard alone', async () => {
    const reached = new Set();
    await page.evaluate(() => document.activeElement?.blur());
    for (let at = 0; at < 60; at += 1) {
      await page.keyboard.press('Tab');
      reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent.slice(0, 7)));
    }
    for (const id of ['do-freeze', 'do-capture', 'do-best', 'guidance', 'measurement', 'own-first', 'language', 'summary', 'new-patient', 'assign', 'play', 'delete']) {
      assert.ok(reached.has(id), `Tab never reaches ${id}: ${[...reached]}`);
    }
    await page.focus('#measurement');
    await page.keyboard.press('Space');
    await until(page, 'off by keyboard', (s) => s.lvef.look === 'off');
    await page.keyboard.press('Enter');
    await until(page, 'on by keyboard', showsBoth);
  });
}

async function checkPicture(page) {
  for (const size of SIZES) {
    await check(`the exam at ${size.width}x${size.height} fits without scrolling`, async () => {
      await until(page, 'both', showsBoth);
      await fits(page, size);
      await page.screenshot({ path: join(folder, `exam-${size.width}x${size.height}.png`) });
    });
  }
  await check('the exam has no violation of WCAG A and AA, dialogs neither', async () => {
    const note = await axe(page);
    await page.click('#new-patient');
    await axe(page);
    await page.screenshot({ path: join(folder, 'new-patient.png') });
    await page.click('#sure-no');
    return note;
  });
}

async function checkSummary(browser, url) {
  await check('the summary prints what was accepted, labelled, with its statement', async () => {
    const { page, faults } = await watched(browser, `${url}/summary`);
    await page.waitForSelector('[data-ready]');
    const text = await page.locator('main').innerText();
    for (const part of [
      'For research use only',
      'AI: EF about',
      'accepted by the operator',
      'EF rejected: Foreshortened',
      'Operator: EF 48\u00a0%, given before the AI’s',
      'Foreshortening not checked',
      'Secondary display, do not read from this image',
      'Heart rate',
    ]) {
      assert.ok(text.includes(part), `the summary lacks "${part}":\n${text}`);
    }
    for (const view of VIEWS) {
      assert.ok(text.includes(`${view}: `), `the summary lacks ${view}`);
    }
    await axe(page);
    await page.screenshot({ path: join(folder, 'summary.png'), fullPage: true });
    await page.emulateMedia({ media: 'print' });
    await page.screenshot({ path: join(folder, 'summary-print.png'), fullPage: true });
    await page.pdf({ path: join(folder, 'summary.pdf'), format: 'A4' });
    assert.deepEqual(faults.console, []);
    await page.close();
  });
}

// Every capture against the events of the same run, and every text against the capture.
function compareExport(made, file) {
  const byClip = estimates(file);
  for (const capture of made.captures) {
    const event = byClip.get(capture.clip);
    assert.ok(event, `capture ${capture.id}: clip ${capture.clip} is not in the events`);
    assert.deepEqual(capture.lvef, event.lvef, `capture ${capture.id}`);
    assert.equal(capture.package, event.package);
  }
  return made.captures.length;
}

async function checkRestart(page, cart, url, model, file, readings) {
  let made;
  await check('the export is what was accepted', async () => {
    made = await (await page.request.get(`${url}/exam/export`)).json();
    assert.equal(made.format, 'echocart-exam-1');
    assert.deepEqual(made.missing_views, []);
    assert.ok(made.captures.every((capture) => capture.clip_decision === 'ACCEPTED'));
    return `${made.captures.length} captures`;
  });
  const again = runArguments('exam-again', { source: PHANTOM, model, address: url.replace('http://', ''), exam: 'exam', valid_for_millis: 8000 });
  await check('after a restart the exam is there, without images, and it asks who it is', async () => {
    cart.signal('SIGINT');
    assert.equal(await cart.end(), 0, cart.output);
    await until(page, 'a lost connection', (s) => s.link === 'lost' && s.lvef.blank);
    const file = join(folder, 'exam-exam', 'exam.json');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.doesNotMatch(readFileSync(file, 'latin1'), /JFIF/);
    again.cart = new Cart(binary, root, again.args);
    await again.cart.address();
    const screen = await until(page, 'the question', (s) => /started again/.test(s.ask) && !s.view.blank);
    assert.equal(captures(screen), 10);
    assert.ok(screen.lvef.blank);
    await page.screenshot({ path: join(folder, 'restarted.png') });
    const listed = await state(page);
    const accepted = listed.captures.filter((c) => c.clip_decision === 'ACCEPTED');
    assert.deepEqual(accepted.map((c) => ({ ...c, images: 0 })), made.captures.map((c) => ({ ...c, images: 0 })));
    await page.click('#same');
    await until(page, 'an EF', showsBoth);
  });
  await check('captures and page say what the events of their run say', async () => {
    const count = readings.compare(file, 'VALUE');
    return `${compareExport(made, file)} captures, ${count.view} views, ${count.lvef} EF readings`;
  });
  await check('a new patient erases the exam everywhere', async () => {
    await page.click('#new-patient');
    await page.click('#sure-yes');
    const screen = await until(page, 'an empty exam', (s) => s.captured === null);
    assert.equal(captures(screen), 0);
    assert.ok(screen.lvef.blank);
    const kept = join(folder, 'exam-exam', 'exam.json');
    for (let tries = 0; existsSync(kept) && tries < 20; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(!existsSync(kept));
    await until(page, 'an EF of the new exam', showsBoth);
  });
  again.cart?.signal('SIGINT');
  assert.equal(await again.cart.end(), 0);
  await check('and the pipeline begins a new exam', () => {
    const estimates = events(again.events).filter((event) => event.type === 'estimate');
    const blanked = estimates.filter((event) => event.view.reason === 'NEW_EXAM');
    assert.equal(blanked.length, 1);
    return `told with clip ${blanked[0].clip}`;
  });
  again.cart.abandon();
}

export async function checkExam(browser) {
  const label = await labelOf(browser);
  const model = trialPackage('trial', { standard: { [label]: 'A4C' }, halfWidth: 12 });
  forgetExam('exam');
  const { args, events: file } = runArguments('exam', { source: PHANTOM, model, valid_for_millis: 8000 });
  const cart = new Cart(binary, root, args);
  try {
    const url = await cart.address();
    const { page, faults } = await watched(browser, url);
    const readings = new Readings();
    await checkAuto(page);
    readings.add(await until(page, 'both', showsBoth));
    await checkHands(page);
    readings.add(await until(page, 'both', showsBoth));
    await checkOwn(page);
    await checkFreeze(page, browser);
    await checkSwitches(page);
    await checkPicture(page);
    readings.add(await until(page, 'both', showsBoth));
    await check('what is captured says what its event says', async () => {
      await page.click('#do-capture');
      const { captured } = await until(page, 'a capture', (s) => /captured/.test(s.captured?.when));
      const { captures: all } = await state(page);
      const { lvef } = all.find((capture) => capture.id === captured.id);
      assert.equal(captured.about, expectedSentence(lvef));
      assert.equal(captured.separates !== '', separates(lvef));
      assert.equal(captured.foreshortening, 'Foreshortening not checked');
    });
    await checkSummary(browser, url);
    assert.deepEqual(faults.console, []);
    await checkRestart(page, cart, url, model, file, readings);
    await page.close();
  } finally {
    cart.abandon();
  }
}
