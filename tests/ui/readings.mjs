// What the page showed, to be compared with the events of the same run.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

export class Readings {
  #all = new Map();

  add(screen) {
    for (const name of ['view', 'lvef']) {
      if (!screen[name].blank) {
        this.#all.set(`${name} ${screen[name].clip} ${screen[name].text}`, { name, screen });
      }
    }
    return screen;
  }

  // Fails at the first one that is not what the events of the run say.
  compare(file, status) {
    const byClip = estimates(file);
    const count = { view: 0, lvef: 0 };
    for (const { name, screen } of this.#all.values()) {
      const event = byClip.get(Number(screen[name].clip));
      assert.ok(event, `clip ${screen[name].clip} is not in the events`);
      const output = event[name];
      assert.equal(output.status, status);
      if (name === 'view') {
        assert.equal(screen.view.text, output.value.label, `view of clip ${event.clip}`);
        const most = Math.round(100 * Math.max(...output.value.probabilities));
        assert.equal(screen.share, `${most}\u00a0%`);
      } else {
        assert.equal(screen.lvef.text, String(Math.round(output.value.percent)));
        if (screen.language === 'en') {
          assert.equal(screen.lvef.about, expectedSentence(output));
        }
        assert.equal(screen.lvef.separates !== '', separates(output));
      }
      count[name] += 1;
    }
    return count;
  }
}

// What must be said about an EF, made of the event alone.
export function expectedSentence({ status, value, evidence }) {
  if (status === 'DEMONSTRATION') {
    return 'Demonstration, not a measurement';
  }
  const views = [...new Set(evidence.segments.map((segment) => segment.view).filter(Boolean))];
  const { interval } = value;
  const range = interval
    ? ` (${Math.round(100 * interval.coverage)}\u00a0%: ${Math.round(interval.low)} to ${Math.round(interval.high)})`
    : value.calibration === 'OUTSIDE'
      ? ' (no range: outside the calibration)'
      : ' (no range: not calibrated)';
  const from = views.length > 1 ? views.join(' and ') : views.length === 1 ? `${views[0]} only` : 'view unknown';
  return `EF about ${Math.round(value.percent)}\u00a0%${range}, AI, ${from}, no tracing to check`;
}

export function separates({ status, value }) {
  const crosses = (border) => value.interval.low < border && border < value.interval.high;
  return status === 'VALUE' && Boolean(value.interval) && [40, 50].some(crosses);
}

// The events of one file, in order.
export function events(file) {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.filter(Boolean).map((line) => JSON.parse(line));
}

export function estimates(file) {
  const all = events(file).filter((event) => event.type === 'estimate');
  return new Map(all.map((event) => [event.clip, event]));
}
