// The connection of a page with its server.

// Close codes after which another attempt would end the same way.
const FINAL = new Set([4400, 4401, 4403, 4404]);
// Milliseconds: longest wait between attempts; silence after which the server is asked for a sign
// of life; time it has to give one.
const LONGEST_WAIT = 30_000;
const SILENCE = 15_000;
const PATIENCE = 10_000;

/** A connection that is made anew whenever it is lost, until the server says that it is no use. */
export class Live {
  #address;
  #on;
  #socket = null;
  #attempts = 0;
  #retry = 0;
  #watchdog = 0;
  #heardAt = 0;
  #askedAt = 0;
  #isRefused = false;

  constructor(address, on) {
    this.#address = address;
    this.#on = on;
  }

  begin() {
    window.addEventListener("online", this.#onOnline);
    this.#watchdog = setInterval(() => this.#checkPulse(), PATIENCE / 2);
    this.#connect();
  }

  end() {
    window.removeEventListener("online", this.#onOnline);
    clearTimeout(this.#retry);
    clearInterval(this.#watchdog);
    this.#hangUp();
  }

  /** Take the next loss for the first. */
  succeeded() {
    this.#attempts = 0;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(verb, payload) {
    if (this.isOpen) this.#socket.send(JSON.stringify({ [verb]: payload }));
  }

  #connect() {
    clearTimeout(this.#retry);
    const address = new URL(this.#address(), document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    this.#askedAt = Date.now();
    socket.onopen = () => {
      this.#note();
      this.#on.opened();
    };
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => this.#onClose(event.code);
  }

  /** Leave a socket whatever it does from now on. */
  #hangUp() {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #onClose(code) {
    this.#socket = null;
    this.#isRefused = FINAL.has(code);
    this.#on.lost(this.#isRefused);
    if (this.#isRefused) return;
    // Spread over the whole time, so a server that restarts is not stormed.
    const longest = Math.min(LONGEST_WAIT, 250 * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.#connect(), Math.random() * longest);
  }

  #onOnline = () => {
    if (!this.#socket && !this.#isRefused) this.#connect();
  };

  /** A connection may die without a word: ask for one, and give up when none comes. */
  #checkPulse() {
    if (!this.#socket) return;
    const now = Date.now();
    if (this.#askedAt && now - this.#askedAt > (this.isOpen ? PATIENCE : LONGEST_WAIT)) {
      this.#hangUp();
      this.#onClose(1006);
    } else if (!this.#askedAt && now - this.#heardAt > SILENCE) {
      this.#askedAt = now;
      this.send("live", null);
    }
  }

  #note() {
    this.#heardAt = Date.now();
    this.#askedAt = 0;
  }

  #hear(frame) {
    this.#note();
    for (const [verb, payload] of Object.entries(frame)) this.#on.heard(verb, payload);
  }
}
