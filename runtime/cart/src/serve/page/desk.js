// Asks the runtime to do something with the exam; what it answers comes back as an exam message.

import { words } from './words.js';

const HELD_MILLIS = 5000;
let clearing = 0;

// command: as in docs/events.md. Says on the page why it was refused.
export async function ask(command) {
  let refused = null;
  try {
    const answer = await fetch('/exam', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(command),
    });
    if (answer.status === 409) {
      refused = (await answer.json()).refused;
    } else if (!answer.ok) {
      refused = 'failed';
    }
  } catch {
    refused = 'failed';
  }
  const line = document.querySelector('#refused');
  line.textContent = refused === null ? '' : (words.refused[refused] ?? words.refused.failed);
  clearTimeout(clearing);
  clearing = setTimeout(() => {
    line.textContent = '';
  }, HELD_MILLIS);
  return refused === null;
}
