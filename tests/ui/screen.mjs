// What a person sees on the page, read in one go so that all parts belong together. These
// functions run inside the browser and may use nothing from outside themselves.

export function readScreen() {
  const element = (selector) => document.querySelector(selector);
  const text = (selector) => element(selector).textContent.trim();
  const visible = (selector) => element(selector).checkVisibility({ visibilityProperty: true });
  const shown = (selector) => (visible(selector) ? text(selector) : '');
  const output = (id) => {
    const root = element(`#${id}`);
    return {
      blank: root.dataset.blank === 'true',
      clip: root.dataset.clip,
      text: text(`#${id} .value`),
      reading: root.dataset.blank === 'true' ? '' : root.querySelector('.reading .figure').innerText.replace(/\s+/g, ''),
      state: text(`#${id} .state`),
      look: root.dataset.state,
      demo: !root.querySelector('.demo').hidden && root.querySelector('.demo').textContent,
      about: text(`#${id} .about`),
      evidence: text(`#${id} .evidence`),
    };
  };
  const canvas = element('#image');
  return {
    link: document.body.dataset.link,
    view: output('view'),
    lvef: {
      ...output('lvef'),
      interval: shown('#lvef .interval'),
      separates: shown('#lvef .separates'),
      foreshortening: shown('#lvef .foreshortening'),
      trend: visible('#trend'),
    },
    share: text('#view .share'),
    signal: text('#signal .percent'),
    hint: text('#signal .hint'),
    ask: shown('#ask .question'),
    captured: visible('#capture')
      ? {
          id: Number(element('#captured').dataset.capture),
          view: element('#assign').value,
          by: shown('#captured .by'),
          when: shown('#captured .when'),
          heart: shown('#captured .heart'),
          ef: shown('#captured .value'),
          about: shown('#captured .about'),
          separates: shown('#captured .separates'),
          foreshortening: shown('#captured .foreshortening'),
          own: shown('#captured .own'),
          decided: shown('#captured .decided'),
          demo: visible('#captured .demo'),
          place: text('#captured-place'),
        }
      : null,
    tiles: Object.fromEntries(
      [...document.querySelectorAll('#checklist button')].map((tile) => [
        tile.querySelector('.name').textContent,
        { state: tile.dataset.state, word: tile.querySelector('.state').textContent },
      ]),
    ),
    refused: text('#refused'),
    banners: [...document.querySelectorAll('#banners li')].map((item) => item.textContent),
    health: text('#health-line'),
    counts: text('#counts'),
    balance: text('#balance'),
    secondary: text('.secondary'),
    model: `${text('#model')} ${text('#build')}`,
    imageState: text('#image-state'),
    imageLook: element('#live').dataset.state,
    notice: element('#notice').hidden ? '' : text('#notice'),
    drawn: Number(canvas.dataset.drawn ?? 0),
    frame: Number(canvas.dataset.frame ?? -1),
    language: document.documentElement.lang,
  };
}

// A number that changes when the image changes.
export function imageFingerprint() {
  const canvas = document.querySelector('#image');
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let hash = 0;
  for (let i = 0; i < data.length; i += 4) {
    hash = (Math.imul(hash, 31) + data[i]) | 0;
  }
  return hash;
}

// Parts of the page that do not fit: beyond the window, or text cut off in its box.
export function overflowing() {
  const faults = [];
  const { scrollWidth, scrollHeight } = document.documentElement;
  if (scrollWidth > innerWidth || scrollHeight > innerHeight) {
    faults.push(`page ${scrollWidth}x${scrollHeight}`);
  }
  for (const element of document.querySelectorAll('main section, main button, #exam, #controls, footer')) {
    const box = element.getBoundingClientRect();
    const seen = element.checkVisibility() && !element.closest('dialog') && box.width > 2;
    const over = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
    const outside = box.right > innerWidth + 1 || box.bottom > innerHeight + 1;
    if (seen && (over || outside) && element.tagName !== 'FOOTER') {
      faults.push(`${element.id || element.className || element.textContent} ${Math.round(box.width)}x${Math.round(box.height)} holds ${element.scrollWidth}x${element.scrollHeight}`);
    }
  }
  return faults;
}
