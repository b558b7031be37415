// Decides what is shown: nothing without a valid number, and no number longer than it is valid.

import { announce } from './announce.js';
import { blankCause, figures, sentence, crosses } from './ef.js';
import { ExamView } from './exam.js';
import { LiveImage } from './image.js';
import { Link } from './link.js';
import { Meters, OutputPanel, Trend, showHealth, showImage, showOutline, showSession } from './panel.js';
import { language, languages, speak, speakAsChosen, words } from './words.js';

const SCHEMA = 1;
const TICK_MILLIS = 100;
const DELAYED_SECONDS = 1.5;
const SLOW_SHARE = 0.9;
const SLOW_MILLIS = 500;
// States after which nothing from before may be shown.
const BLANKING = ['SECTOR_CHANGED', 'ENGINE_DOWN', 'ENGINE_WARMING_UP', 'ENGINE_READY'];

const panels = {
  view: new OutputPanel(document.querySelector('#view')),
  lvef: new OutputPanel(document.querySelector('#lvef')),
};
const meters = new Meters();
const trend = new Trend(document.querySelector('#trend'));
const exam = new ExamView(show);

const nothing = () => ({
  outputs: { view: null, lvef: null, signal: null },
  session: null,
  guide: null,
  counters: null,
  outline: null,
  ended: false,
  gone: false,
  mismatch: false,
  cause: null,
  clock: {},
});
let known = nothing();
let shownAt = -Infinity;

const link = new Link({
  event: receive,
  image: (message) => {
    image.push(message);
    link.seen();
  },
  clock: (message) => {
    known.clock = message;
    show();
  },
  reset: () => {
    const { session, guide } = known;
    known = { ...nothing(), session, guide };
    image.reset();
    trend.clear();
    show();
  },
});
const image = new LiveImage(document.querySelector('#image'), (now) => link.sessionNanos(now));

function receive(event) {
  if (event.schema !== SCHEMA) {
    known = { ...nothing(), mismatch: true };
  } else if (event.type === 'estimate') {
    for (const name of Object.keys(known.outputs)) {
      keep(name, event);
    }
    trend.take(event);
  } else if (event.type === 'summary') {
    known.ended = true;
    known.counters = event;
  } else if (event.type === 'state') {
    changeState(event);
  } else if (event.type === 'exam') {
    takeExam(event.exam);
  }
  show();
}

function takeExam(now) {
  if (exam.state?.number !== now.number) {
    known.outputs = nothing().outputs;
    trend.clear();
  }
  exam.take(now);
  speakAsChosen(now.setup.language);
  image.hold(now.frozen === undefined ? null : `/exam/clips/${now.frozen}/poster`);
}

function keep(name, event) {
  const before = known.outputs[name];
  if (event[name].status !== 'NOT_DUE' || before === null) {
    known.outputs[name] = { ...event[name], clip: event.clip };
  }
}

function changeState(event) {
  known.counters = event.counters ?? known.counters;
  known.outline = event.area?.outline ?? known.outline;
  if (event.state === 'STARTED') {
    known = { ...nothing(), clock: known.clock };
    trend.clear();
  } else if (event.state === 'SOURCE_ENDED') {
    known.ended = true;
  } else if (event.state === 'SOURCE_LOST' || event.state === 'SOURCE_BACK') {
    known.gone = event.state === 'SOURCE_LOST';
  } else if (BLANKING.includes(event.state)) {
    known.outputs = nothing().outputs;
    known.cause = event.state;
    trend.clear();
    if (event.state === 'SECTOR_CHANGED') {
      known.outline = event.area?.outline ?? null;
    }
  }
  known.session = event.session ?? known.session;
  known.guide = event.guide ?? known.guide;
  if (event.session || event.guide) {
    showSession(known.session, known.guide);
  }
}

// What one output shows now. `text` is null unless there is a number that is still valid.
function reading(name, now) {
  const output = known.outputs[name];
  const session = link.sessionNanos(now);
  const why = silence(name, output, session, now);
  const silent = ['lost', 'off', 'frozen', 'hidden'].includes(why?.state);
  const age = output && !silent ? ages(output.evidence.segments, session) : null;
  const evidence = age ? words.evidence(age.newest, age.oldest) : '';
  const figure = why === null ? said[name](output) : null;
  if (figure === null) {
    const { state, about } = why ?? { state: 'none', about: words.output.unknown };
    return { state, about, evidence, text: null, value: null };
  }
  return {
    ...figure,
    evidence,
    state: age && age.newest <= DELAYED_SECONDS ? 'live' : 'delayed',
    demo: output.status === 'DEMONSTRATION',
    clip: output.clip,
    until: now + (output.valid_until_nanos - session) / 1e6,
    value: output.value,
  };
}

// Why an output shows no number now, or null when it may show one.
function silence(name, output, session, now) {
  const state = link.state(now);
  if (state !== 'connected') {
    return { state: 'lost', about: words.output[state] };
  }
  if (known.mismatch) {
    return { state: 'lost', about: words.link.schema };
  }
  const paused = exam.silence(name);
  if (paused !== null) {
    return paused;
  }
  const hasValue = output?.status === 'VALUE' || output?.status === 'DEMONSTRATION';
  if (hasValue && session < output.valid_until_nanos) {
    return null;
  }
  if (known.ended) {
    return { state: 'ended', about: words.output.ended };
  }
  if (known.gone) {
    return { state: 'none', about: words.output.gone };
  }
  if (output === null) {
    return { state: 'none', about: words.reason[known.cause] ?? words.output.waiting };
  }
  if (hasValue) {
    return { state: 'stale', about: words.output.tooOld };
  }
  const about =
    name === 'view' && output.reason ? words.reason[output.reason] : blankCause(output);
  return { state: STATES[output.reason ?? output.status] ?? 'none', about };
}

const STATES = { FROZEN: 'frozen', STALE: 'stale', OFF: 'off' };

const said = {
  view: ({ value }) =>
    value ? { text: value.label, about: words.view[value.label] ?? '' } : null,
  lvef: (output) => {
    const { value } = output;
    if (!Number.isFinite(value?.percent)) {
      return null;
    }
    const demo = output.status === 'DEMONSTRATION';
    return {
      text: String(Math.round(value.percent)),
      unit: words.percent,
      about: demo ? words.demonstration : sentence(output),
      interval: demo || !value.interval ? null : figures(value.interval),
      separates: !demo && crosses(value.interval),
    };
  },
  signal: ({ value }) => (Number.isFinite(value?.meter) ? { text: String(value.meter) } : null),
};

// Seconds since the newest and the oldest image behind an output.
function ages(segments, session) {
  if (segments.length === 0) {
    return null;
  }
  const newest = Math.max(...segments.map((segment) => segment.last_capture_nanos));
  const oldest = Math.min(...segments.map((segment) => segment.first_capture_nanos));
  return {
    newest: Math.max(session - newest, 0) / 1e9,
    oldest: Math.max(session - oldest, 0) / 1e9,
  };
}

function show() {
  const now = performance.now();
  shownAt = now;
  const view = reading('view', now);
  const lvef = reading('lvef', now);
  const connected = link.state(now) === 'connected';
  document.body.dataset.link = link.state(now);
  panels.view.show(view);
  panels.lvef.show(lvef);
  meters.show(view.value, known.outputs.signal, reading('signal', now));
  trend.show(lvef.text !== null && !lvef.demo);
  exam.show(connected);
  showOutline(connected ? known.outline : null, exam.guides());
  showPicture(now, connected);
  const rates = image.rates(now);
  showHealth(known.session, known.guide, connected ? known.counters : null, known.clock, rates);
  announce(now, view, lvef);
}

function showPicture(now, connected) {
  const rates = image.rates(now);
  if (!connected) {
    showImage('lost', words.state.lost, words.link[link.state(now)]);
  } else if (exam.state?.frozen !== undefined) {
    showImage('frozen', words.state.frozen, words.notice.frozen);
  } else if (rates !== null) {
    const { shown, source, delay } = rates;
    const slow = delay > SLOW_MILLIS || (source !== null && shown < SLOW_SHARE * source);
    const rate = [shown, source].map((value) => value && Math.round(value));
    const state = slow ? 'delayed' : 'live';
    const counted = shown === null ? [] : [words.imageRate(...rate)];
    const said = slow || shown === null ? [words.state[state], ...counted] : counted;
    showImage(state, said.join(', '), null);
  } else if (known.ended) {
    showImage('ended', words.state.ended, words.notice.ended);
  } else {
    const drawn = document.querySelector('#image').dataset.drawn;
    const why = known.gone ? 'gone' : drawn ? 'stopped' : 'waiting';
    showImage('none', words.imageNone, words.notice[why]);
  }
}

document.querySelector('#language').addEventListener('click', () => {
  const next = languages[(languages.indexOf(language) + 1) % languages.length];
  speak(next, true);
  relabel();
});

function relabel() {
  exam.relabel();
  if (known.session) {
    showSession(known.session, known.guide);
  }
  show();
}

// Three clocks of their own, so that a browser that slows one down does not keep an old number.
function tick() {
  const now = performance.now();
  link.check(now);
  if (now - shownAt >= TICK_MILLIS) {
    show();
  }
}
setInterval(tick, TICK_MILLIS);
function frame() {
  tick();
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
document.addEventListener('visibilitychange', show);
speakAsChosen('en');
relabel();
