// The language of this viewer: one table per language, chosen while the page runs.

import { de } from './words_de.js';
import { en } from './words_en.js';

const TABLES = { en, de };
const KEPT = 'echocart-language';

export const languages = Object.keys(TABLES);
export let language = 'en';
export let words = en;

// Takes a language; `keep` makes it this viewer's own choice, also after a reload.
export function speak(wanted, keep = false) {
  if (!TABLES[wanted]) {
    return;
  }
  language = wanted;
  words = TABLES[wanted];
  if (keep) {
    localStorage.setItem(KEPT, wanted);
  }
  document.documentElement.lang = wanted;
  for (const element of document.querySelectorAll('[data-say]')) {
    element.textContent = find(element.dataset.say);
  }
  for (const element of document.querySelectorAll('[data-say-label]')) {
    element.setAttribute('aria-label', find(element.dataset.sayLabel));
  }
}

// The viewer's own choice, or else the site's.
export function speakAsChosen(site) {
  speak(localStorage.getItem(KEPT) ?? site);
}

// What the runtime says in English, in this language where the table has it.
export function fromRuntime(sentence) {
  const known = words.runtime.find(([start]) => sentence.startsWith(start));
  if (!known) {
    return sentence;
  }
  const [start, said, keepRest] = known;
  return keepRest ? said + sentence.slice(start.length) : said;
}

function find(path) {
  return path.split('.').reduce((table, key) => table[key], words);
}
