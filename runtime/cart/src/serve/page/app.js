// Decides what is shown: nothing without a valid number, and no number longer than it is valid.

import { LiveImage } from './image.js';
import { Link } from './link.js';
import { Bars, Frames, OutputPanel, showImage, showSession } from './panel.js';
import { words } from './words.js';

const SCHEMA = 1;
const TICK_MILLIS = 100;
const DELAYED_SECONDS = 1.5;
const ANNOUNCE_MILLIS = 5000;

const panels = {
  view: new OutputPanel(document.querySelector('#view')),
  lvef: new OutputPanel(document.querySelector('#lvef')),
};
const bars = new Bars(document.querySelector('#bars'), document.querySelector('#view .share'));
const frames = new Frames();
const image = new LiveImage(document.querySelector('#image'));
const announcement = document.querySelector('#announcement');

const nothing = () => ({
  outputs: { view: null, lvef: null },
  counters: null,
  ended: false,
  mismatch: false,
  cause: null,
  previewsSkipped: 0,
});
let known = nothing();
let announcedAt = -Infinity;

const link = new Link({
  event: receive,
  image: (message) => {
    image.push(message);
    link.seen();
  },
  clock: (message) => {
    known.previewsSkipped = message.previews_skipped;
    show();
  },
  reset: () => {
    known = nothing();
    image.reset();
    show();
  },
});

function receive(event) {
  if (event.schema !== SCHEMA) {
    known = { ...nothing(), mismatch: true };
  } else if (event.type === 'estimate') {
    keep('view', event);
    keep('lvef', event);
  } else if (event.type === 'summary') {
    known.ended = true;
    known.counters = event;
  } else if (event.type === 'state') {
    changeState(event);
  }
  show();
}

function keep(name, event) {
  const before = known.outputs[name];
  if (event[name].status !== 'NOT_DUE' || before === null) {
    known.outputs[name] = { ...event[name], clip: event.clip };
  }
}

function changeState(event) {
  if (event.state === 'STARTED') {
    known = nothing();
    bars.label(event.session.labels);
    showSession(event.session);
  } else if (event.state === 'SOURCE_ENDED') {
    known.ended = true;
  } else if (event.state === 'SECTOR_CHANGED' || event.state === 'ENGINE_DOWN') {
    known.outputs = nothing().outputs;
    known.cause = event.state;
  }
  known.counters = event.counters ?? known.counters;
}

// What one output shows now. `text` is null unless there is a number that is still valid.
function reading(name, now) {
  const output = known.outputs[name];
  const session = link.sessionNanos(now);
  const why = silence(output, session, now);
  const age = output && why?.state !== 'lost' ? ages(output.evidence.segments, session) : null;
  const evidence = age ? words.evidence(age.newest, age.oldest) : '';
  const figure = why === null ? figures[name](output.value) : null;
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
    value: output.value,
  };
}

// Why an output shows no number now, or null when it may show one.
function silence(output, session, now) {
  const state = link.state(now);
  if (state !== 'connected') {
    return { state: 'lost', about: words.output[state] };
  }
  if (known.mismatch) {
    return { state: 'lost', about: words.link.schema };
  }
  const hasValue = output?.status === 'VALUE' || output?.status === 'DEMONSTRATION';
  if (hasValue && session < output.valid_until_nanos) {
    return null;
  }
  if (known.ended) {
    return { state: 'ended', about: words.output.ended };
  }
  return { state: 'none', about: blankCause(output, hasValue) };
}

function blankCause(output, hasValue) {
  if (output === null) {
    return words.reason[known.cause] ?? words.output.waiting;
  }
  if (hasValue) {
    return words.output.tooOld;
  }
  return words.reason[output.reason] ?? words.output[output.status] ?? words.output.unknown;
}

const figures = {
  view: (value) =>
    value ? { text: value.label, about: words.view[value.label] ?? '' } : null,
  lvef: (value) =>
    Number.isFinite(value?.percent)
      ? { text: String(Math.round(value.percent)), unit: words.percent, about: '' }
      : null,
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
  const view = reading('view', now);
  const lvef = reading('lvef', now);
  if (lvef.demo) {
    lvef.about = words.demonstration;
  }
  panels.view.show(view);
  panels.lvef.show(lvef);
  bars.show(view.value);
  const connected = link.state(now) === 'connected';
  document.body.dataset.link = link.state(now);
  frames.show(connected ? known.counters : null);
  showPicture(now, connected);
  announce(now, view, lvef);
}

function showPicture(now, connected) {
  const rate = image.rate(now);
  const skipped = known.previewsSkipped;
  if (!connected) {
    showImage('lost', words.state.lost, words.link[link.state(now)], 0);
  } else if (image.running(now)) {
    showImage('live', rate === null ? words.state.live : words.imageRate(rate), null, skipped);
  } else if (known.ended) {
    showImage('ended', words.state.ended, words.notice.ended, skipped);
  } else {
    const notice = document.querySelector('#image').dataset.drawn
      ? words.notice.stopped
      : words.notice.waiting;
    showImage('none', words.imageNone, notice, skipped);
  }
}

function announce(now, view, lvef) {
  if (now - announcedAt < ANNOUNCE_MILLIS) {
    return;
  }
  const { announce: say, demonstration } = words;
  const parts = [
    view.demo || lvef.demo ? `${demonstration}.` : '',
    view.text === null ? say.noView(view.about) : say.view(view.text),
    lvef.text === null ? say.noLvef(lvef.about) : say.lvef(lvef.text),
  ];
  const text = parts.filter(Boolean).join(' ');
  if (announcement.textContent !== text) {
    announcement.textContent = text;
    announcedAt = now;
  }
}

setInterval(() => {
  link.check(performance.now());
  show();
}, TICK_MILLIS);
document.addEventListener('visibilitychange', show);
show();
