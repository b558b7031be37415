// The exam on paper: accepted clips with what the model and the user said, and what is missing.

import { blankCause, crosses, heart, sentence } from './ef.js';
import { language, languages, speak, speakAsChosen, words } from './words.js';

const at = (selector) => document.querySelector(selector);
const make = (tag, className, text = '') =>
  Object.assign(document.createElement(tag), { className, textContent: text });

let exam = null;
let made = null;

async function json(address) {
  const answer = await fetch(address);
  if (!answer.ok) {
    throw new Error(`${address}: ${answer.status}`);
  }
  return answer.json();
}

async function load() {
  try {
    [exam, made] = await Promise.all([json('/exam'), json('/exam/export')]);
    speakAsChosen(exam.exam.setup.language);
  } catch {
    exam = null;
  }
  show();
}

function show() {
  at('#language').textContent = words.other;
  at('#trouble').hidden = exam !== null && !exam.exam.asking;
  if (exam === null) {
    at('#trouble').textContent = words.summary.gone;
    return;
  }
  document.title = `echocart: ${words.summary.title}`;
  at('#trouble').textContent = exam.exam.asking ? words.summary.asking : '';
  const when = (millis) => new Date(millis).toLocaleString(words.locale);
  at('#began').textContent = when(made.began_unix_millis);
  at('#made').textContent = when(made.made_unix_millis);
  at('#none').hidden = made.captures.length > 0;
  at('#clips').replaceChildren(...made.captures.map(clip));
  const open = exam.exam.captures.filter((c) => c.clip_decision === 'PENDING').length;
  at('#undecided').hidden = open === 0;
  at('#undecided').textContent = words.summary.undecided(open);
  const missing = made.missing_views.map((view) => `${view} (${words.view[view]})`);
  at('#missing').textContent = missing.join(', ') || words.summary.allThere;
  const packages = [...new Set(made.captures.map((c) => c.package))].filter(Boolean);
  at('#package').textContent = `${packages.join(', ') || words.blank}, echocart ${made.version}`;
  document.body.dataset.ready = 'true';
}

function clip(capture) {
  const { captured, summary } = words;
  const item = make('li', 'clip');
  item.dataset.capture = String(capture.id);
  const picture = make('div', 'picture');
  if (capture.images > 0) {
    const image = make('img', '');
    image.src = `/exam/clips/${capture.id}/poster`;
    image.alt = words.view[capture.view] ?? words.title.ultrasound;
    picture.append(image, make('p', 'small', words.title.secondary));
  } else {
    picture.append(make('p', 'small', captured.noImage));
  }
  const lines = make('div', 'lines');
  const title = capture.view ? `${capture.view}: ${words.view[capture.view]}` : captured.noView;
  lines.append(make('h3', '', title));
  const time = new Date(capture.at_unix_millis).toLocaleTimeString(words.locale);
  const length = captured.clip(capture.millis / 1000, capture.images);
  const by = capture.view_by ? `${words.title.view} ${captured.by[capture.view_by]}` : '';
  const what = [time, captured.how[capture.how], capture.images > 0 ? length : '', by];
  lines.append(make('p', 'soft', what.filter(Boolean).join(', ')));
  lines.append(make('p', 'soft', heart(capture)));
  lines.append(...ejection(capture));
  if (capture.own_ef) {
    const when = capture.own_ef.before_ai ? captured.before : captured.after;
    lines.append(make('p', 'own', `${summary.own}: EF ${capture.own_ef.percent}${words.percent}, ${when}`));
  }
  item.append(picture, lines);
  return item;
}

function ejection({ lvef, ef_decision, ef_reason }) {
  const { captured, ef, reject, summary } = words;
  if (ef_decision === 'ACCEPTED') {
    const lines = [make('p', 'ai', `${summary.ai}: ${sentence(lvef)} (${summary.aiAccepted})`)];
    if (crosses(lvef.value.interval)) {
      lines.push(make('p', 'ai', ef.separates));
    }
    return [...lines, make('p', 'ai', ef.foreshortening)];
  }
  if (ef_decision === 'REJECTED') {
    return [make('p', 'ai', `${summary.ai}: ${captured.rejected(reject[ef_reason])}`)];
  }
  const why = lvef.status === 'OFF' ? summary.demo : `${summary.aiNone}: ${blankCause(lvef)}`;
  return [make('p', 'ai', why)];
}

at('#print').addEventListener('click', () => window.print());
at('#language').addEventListener('click', () => {
  speak(languages[(languages.indexOf(language) + 1) % languages.length], true);
  show();
});
speakAsChosen('en');
load();
