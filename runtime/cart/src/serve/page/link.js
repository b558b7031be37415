// The connection: reconnects by itself, knows whether the runtime still speaks, and maps the
// session's clock to performance.now().

const HEARTBEAT_LIMIT_MILLIS = 500;
const GIVE_UP_MILLIS = 5000;
const RETRY_FIRST_MILLIS = 250;
const RETRY_LONGEST_MILLIS = 2000;
const CLOCK_WINDOW_MILLIS = 10000;

export class Link {
  #handlers;
  #socket = null;
  #opened = false;
  #everOpened = false;
  #heardAt = -Infinity;
  #retryMillis = RETRY_FIRST_MILLIS;
  #clock = [];

  // handlers: { event(object), image(arrayBuffer), clock(object), reset() }
  constructor(handlers) {
    this.#handlers = handlers;
    this.#connect();
  }

  // 'connecting' before the first contact, then 'connected', 'silent' or 'lost'.
  state(now) {
    if (!this.#opened || this.#clock.length === 0) {
      return this.#everOpened ? 'lost' : 'connecting';
    }
    return now - this.#heardAt > HEARTBEAT_LIMIT_MILLIS ? 'silent' : 'connected';
  }

  // The session's clock in nanoseconds, or NaN before its first message.
  sessionNanos(now) {
    // A message can only arrive late, so the smallest difference is the truest.
    const difference = Math.min(...this.#clock.map((sample) => sample.difference));
    return this.#clock.length > 0 ? (now - difference) * 1e6 : NaN;
  }

  seen() {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send('seen');
    }
  }

  // Gives up a connection over which nothing comes any more.
  check(now) {
    if (this.#opened && now - this.#heardAt > GIVE_UP_MILLIS) {
      this.#lost(this.#socket);
    }
  }

  #connect() {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      this.#opened = true;
      this.#everOpened = true;
      this.#heardAt = performance.now();
    };
    socket.onmessage = (message) => this.#receive(message.data);
    socket.onclose = () => this.#lost(socket);
    this.#socket = socket;
  }

  #receive(data) {
    const now = performance.now();
    this.#heardAt = now;
    this.#retryMillis = RETRY_FIRST_MILLIS;
    if (typeof data !== 'string') {
      this.#handlers.image(data);
      return;
    }
    const message = JSON.parse(data);
    if (message.type !== 'clock') {
      this.#handlers.event(message);
      return;
    }
    this.#clock.push({ at: now, difference: now - message.now_nanos / 1e6 });
    this.#clock = this.#clock.filter((sample) => now - sample.at < CLOCK_WINDOW_MILLIS);
    this.#handlers.clock(message);
  }

  #lost(socket) {
    if (socket !== this.#socket) {
      return;
    }
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#socket = null;
    this.#opened = false;
    this.#clock = [];
    this.#handlers.reset();
    setTimeout(() => this.#connect(), this.#retryMillis);
    this.#retryMillis = Math.min(2 * this.#retryMillis, RETRY_LONGEST_MILLIS);
  }
}
