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
  }
  known.counters = event.counters ?? known.counters;
}

// What one output shows now. `text` is null unless there is a number that is still valid.
function reading(name, now) {
  const state = link.state(now);
  const output = known.outputs[name];
  const blank = (mark, about, evidence = '') => {
    return { state: mark, text: null, about, evidence, value: null };
  };
  if (state !== 'connected') {
    return blank('lost', words.link[state]);
  }
  if (known.mismatch) {
    return blank('lost', words.link.schema);
  }
  if (output === null) {
    return known.ended
      ? blank('ended', words.output.ended)
      : blank('none', words.output.waiting);
  }
  const session = link.sessionNanos(now);
  const age = ages(output.evidence.segments, session);
  const evidence = age ? words.evidence(age.newest, age.oldest) : '';
  if (output.status === 'WITHHELD') {
    return blank('none', words.reason[output.reason] ?? words.output.unknown, evidence);
  }
  if (output.status !== 'VALUE' && output.status !== 'DEMONSTRATION') {
    return blank('none', words.output[output.status] ?? words.output.unknown, evidence);
  }
  if (!(session < output.valid_until_nanos)) {
    return known.ended
      ? blank('ended', words.output.ended, evidence)
      : blank('none', words.output.tooOld, evidence);
  }
  const figure = figures[name](output.value);
  if (figure === null) {
    return blank('none', words.output.unknown, evidence);
  }
  const demo = output.status === 'DEMONSTRATION';
  return {
    ...figure,
    state: age && age.newest <= DELAYED_SECONDS ? 'live' : 'delayed',
    evidence,
    demo,
    clip: output.clip,
    value: output.value,
  };
}

const figures = {
  view: (value) => value && { text: value.label, about: words.view[value.label] ?? '' },
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
  frames.show(connected ? known.counters : null, known.previewsSkipped);
  showPicture(now, connected);
  announce(now, view, lvef);
}

function showPicture(now, connected) {
  const rate = image.rate(now);
  if (!connected) {
    showImage('lost', words.state.lost, words.link[link.state(now)]);
  } else if (image.running(now)) {
    showImage('live', rate === null ? words.state.live : words.imageRate(rate), null);
  } else if (known.ended) {
    showImage('ended', words.state.ended, words.notice.ended);
  } else {
    const notice = document.querySelector('#image').dataset.drawn
      ? words.notice.stopped
      : words.notice.waiting;
    showImage('none', words.imageNone, notice);
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
