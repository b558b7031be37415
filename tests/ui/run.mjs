// Checks the running page in a headless browser, one line per check, first failure ends it.
// `node run.mjs live` runs one group; without a word all run.

import { checkExam } from './exam.mjs';
import { checkLive } from './live.mjs';
import { launch, tally } from './setup.mjs';
import { checkLink, checkSources } from './trouble.mjs';

const groups = { live: checkLive, exam: checkExam, link: checkLink, sources: checkSources };

async function main() {
  const wanted = process.argv.slice(2);
  const browser = await launch();
  try {
    for (const [name, group] of Object.entries(groups)) {
      if (wanted.length === 0 || wanted.includes(name)) {
        await group(browser);
      }
    }
    console.log(`${tally.passed} passed, 0 failed`);
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error.message);
  console.error(`${tally.passed} passed, 1 failed`);
  process.exit(1);
});
