// The live image: decodes off the main thread, draws only the newest, measures its own rate.

const HEADER_BYTES = 16;
const RATE_WINDOW_MILLIS = 2000;
const STOPPED_MILLIS = 1000;

export class LiveImage {
  #canvas;
  #context;
  #waiting = null;
  #decoding = false;
  #ready = null;
  #drawAsked = false;
  #drawnAt = [];
  #drawn = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: false });
  }

  // One binary message: frame number, capture time, JPEG.
  push(message) {
    this.#waiting = message;
    if (!this.#decoding) {
      this.#decode();
    }
  }

  // Images drawn per second, or null when none was drawn lately.
  rate(now) {
    this.#drawnAt = this.#drawnAt.filter((at) => now - at < RATE_WINDOW_MILLIS);
    const [first] = this.#drawnAt;
    const last = this.#drawnAt.at(-1);
    if (last === undefined || now - last > STOPPED_MILLIS) {
      return null;
    }
    return last > first ? ((this.#drawnAt.length - 1) * 1000) / (last - first) : null;
  }

  // True while images arrive.
  running(now) {
    return this.#drawnAt.length > 0 && now - this.#drawnAt.at(-1) <= STOPPED_MILLIS;
  }

  reset() {
    this.#waiting = null;
    this.#drawnAt = [];
  }

  async #decode() {
    this.#decoding = true;
    while (this.#waiting) {
      const message = this.#waiting;
      this.#waiting = null;
      try {
        const jpeg = new Blob([new Uint8Array(message, HEADER_BYTES)], { type: 'image/jpeg' });
        const bitmap = await createImageBitmap(jpeg);
        this.#ready?.bitmap.close();
        this.#ready = { bitmap, frame: new DataView(message).getBigUint64(0, true) };
        this.#askToDraw();
      } catch {
        // A damaged image is skipped; the next one replaces it.
      }
    }
    this.#decoding = false;
  }

  #askToDraw() {
    if (!this.#drawAsked) {
      this.#drawAsked = true;
      requestAnimationFrame(() => this.#draw());
    }
  }

  #draw() {
    this.#drawAsked = false;
    const { bitmap, frame } = this.#ready;
    this.#ready = null;
    if (this.#canvas.width !== bitmap.width || this.#canvas.height !== bitmap.height) {
      this.#canvas.width = bitmap.width;
      this.#canvas.height = bitmap.height;
    }
    this.#context.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.#drawn += 1;
    this.#drawnAt.push(performance.now());
    this.#canvas.dataset.frame = String(frame);
    this.#canvas.dataset.drawn = String(this.#drawn);
  }
}
