// Writes what is to be shown into the document; decides nothing.

import { fromRuntime, words } from './words.js';

const TREND_MILLIS = 60000;
const TREND_PERCENT = [0, 90];
const CLEARING = ['NEW_EXAM', 'SECTOR_CHANGED', 'ENGINE_DOWN', 'COLOUR_ON'];

export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

export function setHidden(element, hidden) {
  if (element.hasAttribute('hidden') !== hidden) {
    element.toggleAttribute('hidden', hidden);
  }
}

function setState(element, state, word) {
  element.dataset.state = state;
  setText(element.querySelector('.word'), word);
}

// One output: a heading with its state, a large reading, a line about it, the evidence's age.
export class OutputPanel {
  #root;
  #parts = {};

  constructor(root) {
    this.#root = root;
    for (const name of ['state', 'value', 'unit', 'interval', 'demo', 'about', 'separates', 'evidence']) {
      this.#parts[name] = root.querySelector(`.${name}`);
    }
  }

  // reading: { state, text, unit, interval, separates, about, evidence, demo, clip, until }; text
  // null: no number. `until` says when it must be gone, on the clock of performance.now().
  show(reading) {
    const { state, value, unit, interval, demo, about, separates, evidence } = this.#parts;
    const blank = reading.text === null;
    setState(state, reading.state, words.state[reading.state]);
    setText(value, blank ? words.blank : reading.text);
    if (unit) {
      setText(unit, blank ? '' : reading.unit);
      setText(interval, reading.interval ? `${reading.interval.low}–${reading.interval.high}` : '');
      setHidden(separates, blank || !reading.separates);
    }
    setHidden(demo, blank || !reading.demo);
    setText(about, reading.about);
    setText(evidence, reading.evidence ?? '');
    const { dataset } = this.#root;
    dataset.state = reading.state;
    dataset.blank = String(blank);
    dataset.demo = String(!blank && reading.demo);
    dataset.long = String(!blank && reading.text.length > 5);
    dataset.clip = blank ? '' : String(reading.clip);
    dataset.until = blank ? dataset.until : String(reading.until);
  }
}

function setMeter(root, share, text) {
  root.querySelector('.fill').style.transform = `scaleX(${Math.min(Math.max(share, 0), 1)})`;
  setText(root.querySelector('.percent'), text);
  root.dataset.known = String(text !== words.blank);
}

// How sure the view is, and how much signal the image has.
export class Meters {
  #confidence = document.querySelector('#confidence');
  #signal = document.querySelector('#signal');
  #hint = document.querySelector('#signal .hint');

  // view: a view's value or null; signal: the newest output; meter: its reading.
  show(view, signal, meter) {
    const most = view ? Math.max(...view.probabilities) : NaN;
    const known = Number.isFinite(most);
    const percent = (share) => Math.round(100 * share) + words.percent;
    setMeter(this.#confidence, known ? most : 0, known ? percent(most) : words.blank);
    const value = meter.value;
    const off = signal === null || signal.status === 'OFF';
    const text = value ? percent(value.meter) : off ? words.signal.off : words.blank;
    setMeter(this.#signal, value ? value.meter : 0, text);
    this.#signal.dataset.known = String(value !== null);
    const why = off || value ? '' : meter.about;
    setText(this.#hint, value?.hint ? (words.hint[value.hint] ?? value.hint) : why);
  }
}

// The last minute of EF; only of values that are no demonstration.
export class Trend {
  #svg;
  #values = [];

  constructor(svg) {
    this.#svg = svg;
  }

  take({ lvef }) {
    const at = performance.now();
    if (lvef.status === 'VALUE') {
      this.#values.push({ at, percent: lvef.value.percent });
    } else if (CLEARING.includes(lvef.reason)) {
      this.clear();
    }
    this.#values = this.#values.filter((value) => at - value.at < TREND_MILLIS);
  }

  clear() {
    this.#values = [];
  }

  show(visible) {
    const shown = visible && this.#values.length > 1;
    setHidden(this.#svg, !shown);
    if (!shown) {
      return;
    }
    const now = performance.now();
    const [low, high] = TREND_PERCENT;
    const points = this.#values.map(({ at, percent }) => {
      const x = 120 * (1 - (now - at) / TREND_MILLIS);
      const y = 40 * (1 - (Math.min(Math.max(percent, low), high) - low) / (high - low));
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    this.#svg.firstElementChild.setAttribute('points', points.join(' '));
    const said = this.#values.slice(-5).map(({ percent }) => Math.round(percent));
    this.#svg.setAttribute('aria-label', words.ef.trend(said));
  }
}

// The small corner: engine, step of the ladder, image, frames.
export function showHealth(session, guide, counters, clock, rates) {
  const { health } = words;
  const parts = [];
  if (session) {
    parts.push(`${health.providerLabel} ${health.provider(session.provider, session.variant)}`);
  }
  if (guide) {
    parts.push(`${words.guide} ${health.provider(guide.provider, guide.variant)}`);
  }
  if (Number.isInteger(clock.ladder)) {
    parts.push(`${health.ladderLabel} ${health.ladder[clock.ladder]}`);
  }
  if (rates) {
    parts.push(words.imageDelay(Math.round(rates.delay)));
  }
  setText(document.querySelector('#health-line'), parts.join(' · ') || words.blank);
  const balance = document.querySelector('#balance');
  const counts = counters && {
    ...counters,
    dropped: counters.dropped_ring_full,
    rejected: Object.values(counters.rejected).reduce((sum, count) => sum + count, 0),
  };
  setText(document.querySelector('#counts'), counts ? health.counts(counts) : '');
  setText(document.querySelector('#skipped'), counts ? health.skipped(clock.previews_skipped) : '');
  if (!counts) {
    setText(balance, '');
    return;
  }
  const { used, unused, dropped, rejected, in_flight } = counts;
  const balanced = used + unused + dropped + rejected + in_flight === counts.captured;
  balance.dataset.balanced = String(balanced);
  setText(balance, balanced ? health.balanced : health.unbalanced);
}

// What is running, and what must be said about it all the time.
// `guide` is the package that says the view, where that is another one; otherwise null.
export function showSession(session, guide) {
  const item = (textContent) => Object.assign(document.createElement('li'), { textContent });
  const guides = guide?.banners ?? [];
  document.querySelector('#banners').replaceChildren(
    ...session.banners.map((text) => item(fromRuntime(text))),
    ...guides.map((text) => item(`${words.guide}: ${fromRuntime(text)}`)),
  );
  const card = document.querySelector('#card');
  setText(card, session.card);
  card.title = session.card;
  setText(document.querySelector('#trained'), words.trained[session.trained] ?? session.trained);
  const parts = words.build(session, guide).map((text) => {
    return Object.assign(document.createElement('span'), { textContent: text });
  });
  document.querySelector('#build').replaceChildren(...parts);
}

// The image's own state under it, and the sentence across it when it is not live.
export function showImage(state, word, notice) {
  setState(document.querySelector('#image-state'), state, word);
  const element = document.querySelector('#notice');
  setHidden(element, notice === null);
  setText(element, notice ?? '');
  document.querySelector('#live').dataset.state = state;
}

// The imaging sector's outline over the image: points in fractions of width and height.
export function showOutline(outline, wanted) {
  const svg = document.querySelector('#outline');
  const hidden = !wanted || !Array.isArray(outline) || outline.length < 3;
  svg.toggleAttribute('hidden', hidden);
  if (hidden) {
    return;
  }
  const { width, height } = document.querySelector('#image');
  const box = `0 0 ${width} ${height}`;
  const points = outline.map(([x, y]) => `${x * width},${y * height}`).join(' ');
  if (svg.getAttribute('viewBox') !== box) {
    svg.setAttribute('viewBox', box);
  }
  if (svg.firstElementChild.getAttribute('points') !== points) {
    svg.firstElementChild.setAttribute('points', points);
  }
}
