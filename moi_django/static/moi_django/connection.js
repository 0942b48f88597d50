// The websocket of a page.

// Close codes after which another attempt would end the same way.
const FINAL_CODES = new Set([4400, 4401, 4403, 4404]);
// Milliseconds: maximum wait between attempts; silence after which the server is probed; time that it
// has to answer.
const MAX_RETRY_DELAY = 30_000;
const MAX_SILENCE = 15_000;
const PROBE_TIMEOUT = 10_000;

/** A websocket that connects again whenever it is lost, until the server refuses it for good.
 * `handlers`: `opened()`, `received(verb, payload)`, and `lost(isFinal)`.
 */
export class Connection {
  // Whether the server was ever heard of.
  hasOpened = false;
  #address;
  #handlers;
  #socket = null;
  #attempts = 0;
  #retryTimer = 0;
  #watchdogTimer = 0;
  #receivedAt = 0;
  // Since when something is waited for, or 0: for the socket to open, or for an answer to a probe.
  #waitingSince = 0;

  constructor(address, handlers) {
    this.#address = address;
    this.#handlers = handlers;
  }

  start() {
    window.addEventListener("online", this.#onOnline);
    this.#watchdogTimer = setInterval(() => this.#checkSilence(), PROBE_TIMEOUT / 2);
    this.#connect();
  }

  stop() {
    window.removeEventListener("online", this.#onOnline);
    clearTimeout(this.#retryTimer);
    clearInterval(this.#watchdogTimer);
    this.#abandonSocket();
  }

  /** Begin again with the shortest delay when the connection is lost the next time. */
  resetRetryDelay = () => (this.#attempts = 0);

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(verb, payload) {
    if (this.isOpen) this.#socket.send(JSON.stringify({ [verb]: payload }));
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    const address = new URL(this.#address(), document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    this.#waitingSince = Date.now();
    socket.onopen = () => {
      this.hasOpened = true;
      this.#noteActivity();
      this.#handlers.opened();
    };
    socket.onmessage = (event) => {
      this.#noteActivity();
      // A list has several of what may come alone.
      for (const [verb, payload] of Object.entries(JSON.parse(event.data))) {
        for (const each of [payload].flat()) this.#handlers.received(verb, each);
      }
    };
    socket.onclose = (event) => this.#onClose(event.code);
  }

  /** Close the socket, and ignore whatever it does from now on. */
  #abandonSocket() {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #onClose(code) {
    this.#socket = null;
    const isRefused = FINAL_CODES.has(code);
    this.#handlers.lost(isRefused);
    if (isRefused) return this.stop();
    // Spread over the whole time, so that pages do not storm a server that restarts.
    const maxDelay = Math.min(MAX_RETRY_DELAY, 250 * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#retryTimer = setTimeout(() => this.#connect(), Math.random() * maxDelay);
  }

  #onOnline = () => this.#socket ?? this.#connect();

  /** A connection may die unnoticed: probe one that is silent, give up one that does not answer. */
  #checkSilence() {
    if (!this.#socket) return;
    const now = Date.now();
    const timeout = this.isOpen ? PROBE_TIMEOUT : MAX_RETRY_DELAY;
    if (this.#waitingSince && now - this.#waitingSince > timeout) {
      this.#abandonSocket();
      this.#onClose(1006);
    } else if (!this.#waitingSince && now - this.#receivedAt > MAX_SILENCE) {
      this.#waitingSince = now;
      this.send("live", null);
    }
  }

  #noteActivity() {
    this.#receivedAt = Date.now();
    this.#waitingSince = 0;
  }
}
