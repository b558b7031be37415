// The captured clip in question: stays until it is decided, apart from the live estimate.

import { ask } from './desk.js';
import { blankCause, crosses, heart, sentence } from './ef.js';
import { setHidden, setText } from './panel.js';
import { Player } from './player.js';
import { words } from './words.js';

const REASONS = ['IMAGE_QUALITY', 'FORESHORTENED', 'WRONG_VIEW', 'RHYTHM', 'DISAGREE', 'OTHER'];
const root = document.querySelector('#captured');
const at = (selector) => root.querySelector(selector);
const anywhere = (selector) => document.querySelector(selector);

const decided = (capture) => capture.clip_decision !== 'PENDING';

export class CapturedPanel {
  #captures = [];
  #id = null;
  #typed = '';
  #player = new Player(at('.thumb canvas'), at('.thumb .gone'));

  constructor() {
    const click = (selector, does) => anywhere(selector).addEventListener('click', does);
    click('#accept', () => this.#do('accept'));
    click('#retake', () => this.#do('retake'));
    click('#delete', () => this.#do('delete'));
    click('#reveal', () => this.#do('reveal'));
    click('#reject', () => anywhere('#why').showModal());
    click('#why-no', () => anywhere('#why').close());
    click('#own-ef', () => this.#type(''));
    click('#keypad-no', () => anywhere('#keypad').close());
    click('#keypad-enter', () => this.#enter());
    click('#previous', () => this.#step(-1));
    click('#next', () => this.#step(1));
    click('#play', () => this.#player.toggle());
    at('#assign').addEventListener('change', (event) => {
      this.#do('assign', { view: event.target.value });
    });
    anywhere('#keypad').addEventListener('keydown', (event) => this.#key(event));
    this.relabel();
  }

  // Takes the exam. A capture the user asked for comes to the front; one made by itself only when
  // no other is being decided, so that no hand decides about the wrong one.
  take(exam) {
    const before = this.#captures;
    this.#captures = exam.captures;
    const current = this.#current();
    const added = exam.captures.filter((c) => !before.some((b) => b.id === c.id));
    const open = exam.captures.filter((capture) => !decided(capture));
    const wasOpen = before.some((c) => c.id === this.#id && !decided(c));
    if (!current || (added.length > 0 && decided(current))) {
      this.#id = (open.at(-1) ?? exam.captures.at(-1))?.id ?? null;
    } else if (wasOpen && decided(current) && open.length > 0) {
      this.#id = open[0].id;
    } else if (added.length > 0 && added.at(-1).how !== 'AUTO') {
      this.#id = added.at(-1).id;
    }
  }

  look(id) {
    this.#id = id;
  }

  relabel() {
    const option = (view) =>
      Object.assign(document.createElement('option'), { value: view, textContent: view });
    const views = [...anywhere('#checklist').querySelectorAll('.name')].map((n) => n.textContent);
    const none = Object.assign(option(''), { textContent: words.captured.noView, disabled: true });
    at('#assign').replaceChildren(none, ...views.map(option));
    const reasons = REASONS.map((reason) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'large';
      button.dataset.reason = reason;
      button.textContent = words.reject[reason];
      button.addEventListener('click', () => {
        anywhere('#why').close();
        this.#do('reject_ef', { reason });
      });
      return button;
    });
    anywhere('#reasons').replaceChildren(...reasons);
    const keys = [...'789456123', 'clear', '0'].map((key) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = key === 'clear' ? words.do.clear : key;
      button.addEventListener('click', () => this.#press(key));
      return button;
    });
    anywhere('#digits').replaceChildren(...keys);
  }

  show() {
    const capture = this.#current();
    setHidden(at('#captured-none'), capture !== undefined);
    setHidden(at('#capture'), capture === undefined);
    setHidden(at('.turn'), this.#captures.length < 2);
    const place = capture ? this.#captures.indexOf(capture) + 1 : 0;
    const open = this.#captures.filter((other) => !decided(other)).length;
    const parts = capture ? [words.captured.place(place, this.#captures.length)] : [];
    setText(at('#captured-place'), [...parts, open > 0 ? words.captured.waiting(open) : ''].filter(Boolean).join(', '));
    this.#player.take(capture);
    if (capture) {
      this.#facts(capture);
      this.#ejection(capture);
      this.#decisions(capture);
    }
  }

  #current() {
    return this.#captures.find((capture) => capture.id === this.#id);
  }

  #facts(capture) {
    const { captured } = words;
    const select = at('#assign');
    if (select.options.length < 2) {
      this.relabel();
    }
    if (document.activeElement !== select) {
      select.value = capture.view ?? '';
    }
    root.dataset.capture = String(capture.id);
    setText(at('.by'), capture.view_by ? captured.by[capture.view_by] : '');
    const time = new Date(capture.at_unix_millis).toLocaleTimeString(words.locale);
    const length = captured.clip(capture.millis / 1000, capture.images);
    const kept = capture.images > 0 ? [length] : [];
    setText(at('.when'), [time, captured.how[capture.how], ...kept].join(', '));
    setText(at('.heart'), heart(capture));
    const { recording } = capture;
    setHidden(at('.recording'), recording === undefined);
    setText(at('.recording'), recording ? captured.recording(recording.file) : '');
  }

  #ejection(capture) {
    const { lvef, ai_shown, own_ef } = capture;
    const value = ai_shown ? (lvef.value ?? null) : null;
    const demo = value !== null && lvef.status === 'DEMONSTRATION';
    setText(at('.value'), value ? String(Math.round(value.percent)) : words.blank);
    setText(at('.unit'), value ? words.percent : '');
    setHidden(at('.demo'), !demo);
    at('#capture').dataset.demo = String(demo);
    at('#capture').dataset.blank = String(value === null);
    let about = words.output.hidden;
    if (value !== null) {
      about = demo ? words.demonstration : sentence(lvef);
    } else if (ai_shown) {
      about = `${words.captured.noEf}: ${blankCause(lvef)}`;
    }
    setText(at('.about'), about);
    setHidden(at('.separates'), demo || !crosses(value?.interval));
    setHidden(at('.foreshortening'), value === null);
    const when = own_ef?.before_ai ? words.captured.before : words.captured.after;
    setText(at('.own'), own_ef ? `${words.captured.own(own_ef)}, ${when}` : '');
  }

  #decisions(capture) {
    const done = decided(capture);
    const rejected = capture.ef_decision === 'REJECTED';
    const line = rejected
      ? words.captured.rejected(words.reject[capture.ef_reason])
      : words.captured.accepted;
    setHidden(at('.decided'), !done);
    setText(at('.decided'), done ? `✓ ${line}` : '');
    setHidden(at('#accept'), done && !rejected);
    const canReject = capture.lvef.status === 'VALUE' && capture.ai_shown && !rejected;
    setHidden(at('#reject'), !canReject);
    setHidden(at('#own-ef'), capture.own_ef !== undefined);
    setHidden(at('#reveal'), capture.ai_shown);
  }

  #do(what, more = {}) {
    if (this.#id !== null) {
      ask({ do: what, id: this.#id, ...more });
    }
  }

  #step(by) {
    const place = this.#captures.findIndex((capture) => capture.id === this.#id);
    const next = this.#captures[(place + by + this.#captures.length) % this.#captures.length];
    this.#id = next?.id ?? null;
    this.show();
  }

  #type(text) {
    this.#typed = text;
    setText(anywhere('#typed'), text === '' ? words.blank : text + words.percent);
    if (!anywhere('#keypad').open) {
      anywhere('#keypad').showModal();
    }
  }

  #press(key) {
    this.#type(key === 'clear' ? '' : (this.#typed + key).slice(0, 2));
  }

  #key(event) {
    if (/^[0-9]$/.test(event.key)) {
      this.#press(event.key);
    } else if (event.key === 'Backspace') {
      this.#type(this.#typed.slice(0, -1));
    } else if (event.key === 'Enter' && event.target.id !== 'keypad-no') {
      event.preventDefault();
      this.#enter();
    }
  }

  #enter() {
    anywhere('#keypad').close();
    if (this.#typed !== '') {
      this.#do('own_ef', { percent: Number(this.#typed) });
    }
  }
}
