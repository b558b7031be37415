// What a person sees on the page, read in one go so that all parts belong together. These
// functions run inside the browser and may use nothing from outside themselves.

export function readScreen() {
  const text = (selector) => document.querySelector(selector).textContent.trim();
  const output = (id) => {
    const root = document.querySelector(`#${id}`);
    return {
      blank: root.dataset.blank === 'true',
      clip: root.dataset.clip,
      text: text(`#${id} .value`),
      reading: root.querySelector('.reading').innerText.replace(/\s+/g, ''),
      state: text(`#${id} .state`),
      demo: !root.querySelector('.demo').hidden && root.querySelector('.demo').textContent,
      about: text(`#${id} .about`),
      evidence: text(`#${id} .evidence`),
    };
  };
  const canvas = document.querySelector('#image');
  return {
    link: document.body.dataset.link,
    view: output('view'),
    lvef: output('lvef'),
    share: text('#view .share'),
    bars: [...document.querySelectorAll('#bars li')].map((row) => ({
      label: row.querySelector('.name').textContent,
      percent: row.querySelector('.percent').textContent,
    })),
    banners: [...document.querySelectorAll('#banners li')].map((item) => item.textContent),
    counts: Object.fromEntries(
      [...document.querySelectorAll('#frames dd')].map((item) => [
        item.dataset.count,
        item.textContent,
      ]),
    ),
    balance: text('#balance'),
    secondary: text('.secondary'),
    model: text('#model'),
    imageState: text('#image-state'),
    notice: document.querySelector('#notice').hidden ? '' : text('#notice'),
    drawn: Number(canvas.dataset.drawn ?? 0),
    frame: Number(canvas.dataset.frame ?? -1),
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

// Every piece of text whose contrast is below WCAG AA, and the lowest ratio found.
export function contrastFaults() {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = parse(color).map((channel) => {
      const c = channel / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if ((parse(color)[3] ?? 1) === 1) {
        return color;
      }
    }
    return 'rgb(255, 255, 255)';
  };
  const faults = [];
  let lowest = Infinity;
  let checked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const shown = element.checkVisibility() && !element.closest('.unseen, noscript');
    if (!shown || walker.currentNode.data.trim() === '') {
      continue;
    }
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const [a, b] = [luminance(style.color), luminance(background(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    checked += 1;
    lowest = Math.min(lowest, ratio);
    if (ratio < (large ? 3 : 4.5)) {
      faults.push(`"${walker.currentNode.data.trim()}" ${ratio.toFixed(2)}`);
    }
  }
  return { faults, lowest, checked };
}
