// The live image: decodes off the main thread, draws the newest, measures its own rate.
//
// Images come as evenly as the source makes them, the screen's frames as evenly as the screen does, and between
// the two one of both is now and then early. So the second of two images that came within one frame of the screen
// waits for the next one, instead of taking the first one's place; a third takes a place, and so does whoever
// finds the one before it too old.

const HEADER_BYTES = 16;
const QUEUE = 2;
const WAIT_MILLIS = 25;
const RATE_WINDOW_MILLIS = 2000;
const STOPPED_MILLIS = 1000;

export class LiveImage {
  #canvas;
  #context;
  #sessionNanos;
  #waiting = [];
  #decoding = false;
  #ready = [];
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
    this.#waiting.push(message);
    if (this.#waiting.length > QUEUE) {
      this.#waiting.shift();
    }
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
    this.#waiting = [];
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
    this.#waiting = [];
    this.#drawn = [];
  }

  async #decode() {
    this.#decoding = true;
    while (this.#waiting.length > 0) {
      const message = this.#waiting.shift();
      try {
        const jpeg = new Blob([new Uint8Array(message, HEADER_BYTES)], { type: 'image/jpeg' });
        const bitmap = await createImageBitmap(jpeg);
        const head = new DataView(message);
        this.#ready.push({
          bitmap,
          frame: Number(head.getBigUint64(0, true)),
          capture: Number(head.getBigInt64(8, true)),
          at: performance.now(),
        });
        this.#drop(QUEUE, Infinity);
        this.#askToDraw();
      } catch {
        // A damaged image is skipped; the next one replaces it.
      }
    }
    this.#decoding = false;
  }

  // Leaves at most `count` images, and none that has waited for `millis` while there is a newer one.
  #drop(count, millis) {
    const before = performance.now() - millis;
    while (this.#ready.length > count || (this.#ready.length > 1 && this.#ready[0].at < before)) {
      this.#ready.shift().bitmap.close();
    }
  }

  #askToDraw() {
    if (!this.#drawAsked) {
      this.#drawAsked = true;
      requestAnimationFrame(() => this.#draw());
    }
  }

  #draw() {
    this.#drawAsked = false;
    this.#drop(QUEUE, WAIT_MILLIS);
    const { bitmap, frame, capture } = this.#ready.shift();
    if (this.#ready.length > 0) {
      this.#askToDraw();
    }
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
