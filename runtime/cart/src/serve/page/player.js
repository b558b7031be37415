// The small picture of a captured clip; a touch plays the clip once, at the speed of its images.

import { setText } from './panel.js';
import { words } from './words.js';

const HEAD_BYTES = 12;

export class Player {
  #canvas;
  #gone;
  #button;
  #id = null;
  #images = 0;
  #playing = 0;

  constructor(canvas, gone) {
    this.#canvas = canvas;
    this.#gone = gone;
    this.#button = canvas.parentElement;
  }

  // Shows the picture of `capture`, or nothing.
  take(capture) {
    const id = capture?.id ?? null;
    const images = capture?.images ?? 0;
    setText(this.#gone, id !== null && images === 0 ? words.captured.noImage : '');
    const label = this.#playing ? words.do.stop : words.do.play;
    this.#button.setAttribute('aria-label', label);
    this.#button.disabled = images === 0;
    if (id === this.#id && images === this.#images) {
      return;
    }
    this.#id = id;
    this.#images = images;
    this.#stop();
    this.#canvas.getContext('2d').clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    if (id !== null && images > 0) {
      this.#poster(id);
    }
  }

  toggle() {
    if (this.#playing) {
      this.#stop();
      this.#poster(this.#id);
    } else if (this.#id !== null) {
      this.#play(this.#id);
    }
  }

  #stop() {
    this.#playing = 0;
  }

  async #poster(id) {
    const answer = await fetch(`/exam/clips/${id}/poster`).catch(() => null);
    if (answer?.ok) {
      await this.#draw(await answer.blob(), () => id === this.#id && !this.#playing);
    }
  }

  async #play(id) {
    const turn = performance.now();
    this.#playing = turn;
    const answer = await fetch(`/exam/clips/${id}`).catch(() => null);
    if (answer?.ok) {
      const clip = images(await answer.arrayBuffer());
      const began = performance.now();
      for (const { nanos, jpeg } of clip) {
        const due = began + (nanos - clip[0].nanos) / 1e6;
        await new Promise((resolve) => setTimeout(resolve, Math.max(due - performance.now(), 0)));
        if (this.#playing !== turn || id !== this.#id) {
          return;
        }
        await this.#draw(jpeg, () => this.#playing === turn);
      }
    }
    this.#stop();
  }

  async #draw(jpeg, wanted) {
    try {
      const bitmap = await createImageBitmap(jpeg);
      if (wanted()) {
        if (this.#canvas.height !== Math.round((160 * bitmap.height) / bitmap.width)) {
          this.#canvas.height = Math.round((160 * bitmap.height) / bitmap.width);
        }
        const { width, height } = this.#canvas;
        this.#canvas.getContext('2d').drawImage(bitmap, 0, 0, width, height);
      }
      bitmap.close();
    } catch {
      // A damaged image is skipped.
    }
  }
}

// The images of a clip: of each its length, capture time and JPEG.
function images(buffer) {
  const view = new DataView(buffer);
  const found = [];
  for (let from = 0; from + HEAD_BYTES <= buffer.byteLength; ) {
    const length = view.getUint32(from, true);
    const nanos = Number(view.getBigInt64(from + 4, true));
    const bytes = new Uint8Array(buffer, from + HEAD_BYTES, length);
    found.push({ nanos, jpeg: new Blob([bytes], { type: 'image/jpeg' }) });
    from += HEAD_BYTES + length;
  }
  return found;
}
