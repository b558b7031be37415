// The live image: decodes off the main thread, draws only the newest, measures its own rate.

const HEADER_BYTES = 16;
const RATE_WINDOW_MILLIS = 2000;
const STOPPED_MILLIS = 1000;

export class LiveImage {
  #canvas;
  #context;
  #sessionNanos;
  #waiting = null;
  #decoding = false;
  #ready = null;
  #drawAsked = false;
  #held = null;
  #drawn = [];
  #count = 0;

  // sessionNanos(now): the session's clock, for the delay of an image.
  constructor(canvas, sessionNanos) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: false });
    this.#sessionNanos = sessionNanos;
  }

  // One binary message: frame number, capture time, JPEG.
  push(message) {
    if (this.#held !== null) {
      return;
    }
    this.#waiting = message;
    if (!this.#decoding) {
      this.#decode();
    }
  }

  // Holds the still image at `address` until released with null.
  async hold(address) {
    if (this.#held === address) {
      return;
    }
    this.#held = address;
    this.#waiting = null;
    this.#drawn = [];
    if (address === null) {
      return;
    }
    try {
      const answer = await fetch(address);
      if (answer.ok) {
        const bitmap = await createImageBitmap(await answer.blob());
        if (this.#held === address) {
          this.#paint(bitmap);
        }
        bitmap.close();
      }
    } catch {
      // The last live image stays on the screen, marked as frozen.
    }
  }

  // What the last two seconds were like, or null when no image was drawn lately.
  // Images per second shown and of the source, and the delay from capture to drawn in ms.
  rates(now) {
    this.#drawn = this.#drawn.filter(({ at }) => now - at < RATE_WINDOW_MILLIS);
    const [first] = this.#drawn;
    const last = this.#drawn.at(-1);
    if (!this.running(now)) {
      return null;
    }
    if (this.#drawn.length < 3) {
      return { shown: null, source: null, delay: last.delay };
    }
    const perSecond = (count, millis) => (millis > 0 ? (count * 1000) / millis : null);
    return {
      shown: perSecond(this.#drawn.length - 1, last.at - first.at),
      source: perSecond(last.frame - first.frame, (last.capture - first.capture) / 1e6),
      delay: Math.max(...this.#drawn.slice(-15).map(({ delay }) => delay)),
    };
  }

  // True while images arrive.
  running(now) {
    return this.#drawn.length > 0 && now - this.#drawn.at(-1).at <= STOPPED_MILLIS;
  }

  reset() {
    this.#waiting = null;
    this.#drawn = [];
  }

  async #decode() {
    this.#decoding = true;
    while (this.#waiting) {
      const message = this.#waiting;
      this.#waiting = null;
      try {
        const jpeg = new Blob([new Uint8Array(message, HEADER_BYTES)], { type: 'image/jpeg' });
        const bitmap = await createImageBitmap(jpeg);
        const head = new DataView(message);
        this.#ready?.bitmap.close();
        this.#ready = {
          bitmap,
          frame: Number(head.getBigUint64(0, true)),
          capture: Number(head.getBigInt64(8, true)),
        };
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
    const { bitmap, frame, capture } = this.#ready;
    this.#ready = null;
    if (this.#held === null) {
      this.#paint(bitmap);
      const at = performance.now();
      const delay = (this.#sessionNanos(at) - capture) / 1e6;
      this.#drawn.push({ at, frame, capture, delay });
      this.#count += 1;
      this.#canvas.dataset.delay = delay.toFixed(1);
      this.#canvas.dataset.frame = String(frame);
      this.#canvas.dataset.drawn = String(this.#count);
    }
    bitmap.close();
  }

  #paint(bitmap) {
    if (this.#canvas.width !== bitmap.width || this.#canvas.height !== bitmap.height) {
      this.#canvas.width = bitmap.width;
      this.#canvas.height = bitmap.height;
    }
    this.#context.drawImage(bitmap, 0, 0);
  }
}
