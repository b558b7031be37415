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
  }

  // Fails at the first one that is not what the events of the run say.
  compare(file) {
    const estimates = events(file).filter((event) => event.type === 'estimate');
    const byClip = new Map(estimates.map((event) => [String(event.clip), event]));
    const count = { view: 0, lvef: 0 };
    for (const { name, screen } of this.#all.values()) {
      const event = byClip.get(screen[name].clip);
      assert.ok(event, `clip ${screen[name].clip} is not in the events`);
      const { status, value } = event[name];
      assert.equal(status, 'DEMONSTRATION');
      const expected = name === 'view' ? value.label : String(Math.round(value.percent));
      assert.equal(screen[name].text, expected, `${name} of clip ${event.clip}`);
      if (name === 'view') {
        const percents = value.probabilities.map((p) => `${Math.round(100 * p)}\u00a0%`);
        assert.deepEqual(screen.bars.map((bar) => bar.percent), percents);
      }
      count[name] += 1;
    }
    return count;
  }
}

// The events of one file, in order.
export function events(file) {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line));
}
