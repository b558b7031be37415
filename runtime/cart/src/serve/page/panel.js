// Writes what is to be shown into the document; decides nothing.

import { words } from './words.js';

function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function setState(element, state, word) {
  element.dataset.state = state;
  setText(element.querySelector('.word'), word);
}

// One output: a heading with its state, a large reading, a line about it, the evidence's age.
export class OutputPanel {
  #root;
  #part;

  constructor(root) {
    this.#root = root;
    this.#part = (name) => root.querySelector(`.${name}`);
  }

  // reading: { state, text, unit, about, evidence, demo, clip }; text null: no number.
  show(reading) {
    const blank = reading.text === null;
    setState(this.#part('state'), reading.state, words.state[reading.state]);
    setText(this.#part('value'), blank ? words.blank : reading.text);
    const unit = this.#part('unit');
    if (unit) {
      setText(unit, blank ? '' : reading.unit);
    }
    this.#part('demo').hidden = blank || !reading.demo;
    setText(this.#part('about'), reading.about);
    setText(this.#part('evidence'), reading.evidence ?? '');
    const { dataset } = this.#root;
    dataset.state = reading.state;
    dataset.blank = String(blank);
    dataset.demo = String(!blank && reading.demo);
    dataset.long = String(!blank && reading.text.length > 5);
    dataset.clip = blank ? '' : String(reading.clip);
  }
}

// The probabilities of all labels, in the package's order.
export class Bars {
  #list;
  #share;
  #rows = [];

  constructor(list, share) {
    this.#list = list;
    this.#share = share;
  }

  label(labels) {
    this.#rows = labels.map((label) => {
      const row = document.createElement('li');
      const name = document.createElement('span');
      const track = document.createElement('span');
      const fill = document.createElement('span');
      const share = document.createElement('span');
      name.className = 'name';
      track.className = 'track';
      fill.className = 'fill';
      share.className = 'percent';
      name.textContent = label;
      track.append(fill);
      row.append(name, track, share);
      return { label, row, fill, share };
    });
    this.#list.replaceChildren(...this.#rows.map(({ row }) => row));
    this.show(null);
  }

  // value: { label, probabilities } or null for none.
  show(value) {
    let top = '';
    this.#rows.forEach(({ label, row, fill, share }, index) => {
      const probability = value?.probabilities[index];
      const known = Number.isFinite(probability);
      const text = known ? Math.round(100 * probability) + words.percent : words.blank;
      setText(share, text);
      fill.style.transform = `scaleX(${known ? Math.min(Math.max(probability, 0), 1) : 0})`;
      row.dataset.top = String(known && label === value.label);
      top = known && label === value.label ? text : top;
    });
    setText(this.#share, top);
  }
}

const COUNTS = ['captured', 'used', 'unused', 'dropped', 'rejected', 'in_flight'];

// The frame counters, and whether they add up.
export class Frames {
  #root = document.querySelector('#frames');
  #balance = document.querySelector('#balance');

  // counters: as in the events, or null for none.
  show(counters) {
    const counts = counters && {
      ...counters,
      dropped: counters.dropped_ring_full,
      rejected: Object.values(counters.rejected).reduce((sum, count) => sum + count, 0),
    };
    for (const name of COUNTS) {
      const text = counts ? String(counts[name]) : words.blank;
      setText(this.#root.querySelector(`[data-count=${name}]`), text);
    }
    if (!counts) {
      setText(this.#balance, '');
      return;
    }
    const ended = COUNTS.slice(1).reduce((sum, name) => sum + counts[name], 0);
    const balanced = ended === counts.captured;
    this.#balance.dataset.balanced = String(balanced);
    setText(this.#balance, balanced ? words.frames.balanced : words.frames.unbalanced);
  }
}

// What is running, and what must be said about it all the time.
export function showSession(session) {
  const item = (text) => Object.assign(document.createElement('li'), { textContent: text });
  document.querySelector('#banners').replaceChildren(...session.banners.map(item));
  const card = document.querySelector('#card');
  setText(card, session.card);
  card.title = session.card;
  setText(document.querySelector('#trained'), words.trained[session.trained] ?? session.trained);
  const parts = words.build(session).map((text) => {
    return Object.assign(document.createElement('span'), { textContent: text });
  });
  document.querySelector('#build').replaceChildren(...parts);
}

// The image's own state under it, and the sentence across it when it is not live.
export function showImage(state, word, notice, skipped) {
  setState(document.querySelector('#image-state'), state, word);
  const element = document.querySelector('#notice');
  element.hidden = notice === null;
  setText(element, notice ?? '');
  setText(document.querySelector('#skipped'), words.imagesSkipped(skipped));
  document.querySelector('#live').dataset.state = state;
}
