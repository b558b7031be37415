// Tells a screen reader what has changed, no more often than it can be listened to.

import { words } from './words.js';

const PAUSE_MILLIS = 5000;
const element = document.querySelector('#announcement');
let announcedAt = -Infinity;

// view and lvef: readings as they are shown.
export function announce(now, view, lvef) {
  if (now - announcedAt < PAUSE_MILLIS) {
    return;
  }
  const { announce: say, demonstration } = words;
  const parts = [
    view.demo || lvef.demo ? `${demonstration}.` : '',
    view.text === null ? say.noView(view.about) : say.view(view.text),
    lvef.text === null ? say.noLvef(lvef.about) : say.lvef(lvef.text),
  ];
  const text = parts.filter(Boolean).join(' ');
  if (element.textContent !== text) {
    element.textContent = text;
    announcedAt = now;
  }
}
