// The exam on the page: checklist, questions, switches and what hands and feet may do.

import { CapturedPanel } from './captured.js';
import { ask } from './desk.js';
import { setHidden, setText } from './panel.js';
import { words } from './words.js';

const at = (selector) => document.querySelector(selector);

export class ExamView {
  // The newest exam as the runtime told it, or null where none is configured.
  state = null;
  #captured = new CapturedPanel();
  #tiles = new Map();

  // changed: called after something here has changed what is to be shown.
  constructor(changed) {
    const click = (selector, does) => at(selector).addEventListener('click', does);
    click('#do-capture', () => this.#capture());
    click('#do-freeze', () => this.#freeze());
    click('#do-best', () => ask({ do: 'best' }));
    click('#same', () => ask({ do: 'same_patient' }));
    click('#other', () => ask({ do: 'new_patient' }));
    click('#new-patient', () => this.#newPatient());
    click('#sure-no', () => at('#sure').close());
    click('#sure-yes', () => {
      at('#sure').close();
      ask({ do: 'new_patient' });
    });
    for (const name of ['guidance', 'measurement', 'own_first']) {
      const turn = () => ask({ do: 'switch', name, on: !this.state[name] });
      click(`#${name.replace('_', '-')}`, turn);
    }
    document.addEventListener('keydown', (event) => this.#key(event));
    document.body.dataset.exam = 'off';
    this.changed = changed;
  }

  take(exam) {
    this.state = exam;
    document.body.dataset.exam = 'on';
    if (this.#tiles.size === 0) {
      this.#makeTiles(exam.views);
    }
    this.#captured.take(exam);
  }

  relabel() {
    this.#captured.relabel();
    setText(at('#language'), words.other);
  }

  // Why `name` shows nothing because of what was switched or asked, or null.
  silence(name) {
    const exam = this.state;
    if (exam === null) {
      return null;
    }
    if (name === 'lvef' ? !exam.measurement : !exam.guidance) {
      return { state: 'off', about: words.output.OFF };
    }
    if (exam.frozen !== undefined) {
      return { state: 'frozen', about: words.reason.FROZEN };
    }
    if (name === 'lvef' && exam.asking) {
      return { state: 'none', about: words.output.asking };
    }
    if (name === 'lvef' && exam.own_first) {
      return { state: 'hidden', about: words.output.hidden };
    }
    return null;
  }

  // True while guidance is on, or no exam says otherwise.
  guides() {
    return this.state?.guidance ?? true;
  }

  show(connected) {
    const exam = this.state;
    if (exam === null) {
      return;
    }
    document.body.dataset.guidance = String(exam.guidance);
    document.body.dataset.measurement = String(exam.measurement);
    for (const name of ['guidance', 'measurement', 'own_first']) {
      const button = at(`#${name.replace('_', '-')}`);
      button.setAttribute('aria-pressed', String(exam[name]));
      setText(button.querySelector('.on'), exam[name] ? words.do.on : words.do.off);
    }
    this.#showAsking(exam);
    const freeze = at('#do-freeze');
    const frozen = exam.frozen !== undefined;
    setText(freeze.querySelector('.word'), frozen ? words.do.resume : words.do.freeze);
    freeze.setAttribute('aria-pressed', String(frozen));
    setText(freeze.querySelector('.key'), words.do.keys(exam.setup.freeze_keys));
    setText(at('#do-capture .key'), words.do.keys(exam.setup.capture_keys));
    const idle = !connected || exam.asking !== undefined;
    freeze.disabled = idle;
    at('#do-capture').disabled = idle || frozen || exam.full;
    at('#do-best').disabled = idle || frozen || exam.full;
    this.#showTiles(exam);
    this.#captured.show();
  }

  #showAsking(exam) {
    const asks = exam.asking !== undefined;
    setHidden(at('#ask'), !asks);
    if (asks) {
      const question = words.ask[exam.asking](exam.setup.ask_after_seconds);
      setText(at('#ask .question'), question);
    }
  }

  #capture() {
    if (!at('#do-capture').disabled) {
      ask({ do: 'capture' });
    }
  }

  #freeze() {
    if (!at('#do-freeze').disabled) {
      ask({ do: this.state.frozen === undefined ? 'freeze' : 'resume' });
    }
  }

  #newPatient() {
    const count = this.state.captures.length;
    if (count === 0) {
      ask({ do: 'new_patient' });
      return;
    }
    setText(at('#sure-title'), words.ask.confirm(count));
    at('#sure').showModal();
  }

  // A foot switch is a keyboard with one key.
  #key(event) {
    const busy = event.repeat || event.ctrlKey || event.altKey || event.metaKey;
    const elsewhere = event.target.closest?.('input, select, dialog') || at('dialog[open]');
    if (this.state === null || busy || elsewhere) {
      return;
    }
    const { capture_keys, freeze_keys } = this.state.setup;
    if (capture_keys.includes(event.key)) {
      event.preventDefault();
      this.#capture();
    } else if (freeze_keys.includes(event.key)) {
      event.preventDefault();
      this.#freeze();
    }
  }

  #makeTiles(views) {
    for (const { view } of views) {
      const item = document.createElement('li');
      const button = document.createElement('button');
      button.type = 'button';
      for (const name of ['mark', 'name', 'state', 'hold']) {
        const part = document.createElement('span');
        part.className = name;
        button.append(part);
      }
      button.querySelector('.mark').setAttribute('aria-hidden', 'true');
      button.querySelector('.name').textContent = view;
      button.addEventListener('click', () => this.#touch(view));
      item.append(button);
      this.#tiles.set(view, button);
    }
    at('#checklist').replaceChildren(...[...this.#tiles.values()].map((b) => b.parentElement));
  }

  // A view that has a capture shows it; another becomes the next one to capture.
  #touch(view) {
    const captures = this.state.captures.filter((capture) => capture.view === view);
    if (captures.length > 0) {
      this.#captured.look(captures.at(-1).id);
      this.changed();
    } else {
      ask({ do: 'target', view: this.state.target === view ? null : view });
    }
  }

  #showTiles(exam) {
    let done = 0;
    for (const { view, automatic } of exam.views) {
      const captures = exam.captures.filter((capture) => capture.view === view);
      const accepted = captures.some((capture) => capture.clip_decision === 'ACCEPTED');
      done += accepted ? 1 : 0;
      const state = accepted ? 'accepted' : captures.length > 0 ? 'captured' : 'open';
      const held = exam.hold?.view === view ? exam.hold.share : 0;
      const button = this.#tiles.get(view);
      const next = exam.target === view;
      button.dataset.state = next ? 'next' : state;
      button.setAttribute('aria-pressed', String(next));
      button.title = words.view[view];
      const { checklist } = words;
      const how = automatic ? checklist.automatic : checklist.manual;
      const word = next ? checklist.next : state === 'open' ? how : checklist[state];
      const text = held > 0 ? checklist.holding(Math.round(100 * held)) : word;
      setText(button.querySelector('.state'), text);
      button.querySelector('.hold').style.transform = `scaleX(${held})`;
    }
    setText(at('#exam-done'), words.checklist.done(done));
  }
}
