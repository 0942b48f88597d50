// What all our elements have in common: a connection, and notes on whether it is live.

const { Connection } = await moiModule("connection");

/** The base class of an element that is kept as things are in Redis.
 * A subclass starts the connection once it can do what `verbs` say. By `subscribe` it asks the server,
 * which knows nothing of the page yet, for what it shows.
 */
export class LiveElement extends HTMLElement {
  // What a subclass that has jobs needs to show errors and to press buttons.
  catalog = null;
  confirmation = null;
  // What is done with the payload of each verb that the server sends.
  verbs = {};
  isLive = false;
  // What was told last of each job and group, but for its result: what is other may follow alone.
  #known = new Map();
  connection = new Connection(() => this.#address, {
    opened: () => this.subscribe(),
    received: (verb, payload) => this.#receive(verb, payload),
    lost: (isFinal) => (isFinal ? this.refuse() : this.setLive(false)),
  });

  get #address() {
    const address = new URL(this.getAttribute("socket"), document.baseURI);
    address.searchParams.set("language", this.lang);
    address.searchParams.set("lists", 1);
    return address;
  }

  disconnectedCallback() {
    this.stop();
  }

  /** Let an info object be shown, always as a whole. */
  #receive(verb, payload) {
    const { since, ...told } = payload ?? {};
    const known = this.#known.get(told.id);
    // It has crossed with a snapshot: another one shows all.
    if (since && known?.version !== since) return known?.version >= told.version || this.subscribe();
    const info = since ? { ...known, ...told } : payload;
    if (verb === "remove") this.#known.delete(told.id);
    else if (told.version && !(known?.version > told.version)) this.#known.set(told.id, { ...info, result: null });
    this.verbs[verb]?.(info);
  }

  /** Stop for good: this user may not see it any more. */
  refuse() {
    this.stop();
    this.setLive(false);
    for (const name of ["offline", "unconnected"]) this.showPart(name, false);
    this.showPart("refused", true);
  }

  stop() {
    this.connection.stop();
  }

  setLive(isLive) {
    this.isLive = isLive;
    this.showLive(isLive);
  }

  showLive(isLive) {
    this.toggleAttribute("live", isLive);
    const isMissing = !this.connection.hasOpened && Boolean(this.findPart("unconnected"));
    this.showPart("offline", !isLive && !isMissing);
    this.showPart("unconnected", !isLive && isMissing);
  }

  /** Return the element for something that is not about a row, if the template has one. */
  findPart(name) {
    return this.querySelector(`[data-moi="${name}"]`);
  }

  showPart(name, isShown) {
    this.findPart(name)?.toggleAttribute("hidden", !isShown);
  }

  /** Do what a button of a row is for: at once, or when it is confirmed. */
  press(verb, row) {
    if (verb === "confirm") this.confirmation.accept();
    else if (row.confirmationText(verb)) this.confirmation.ask(verb, row);
    else this.sendCommand(verb, row);
  }

  /** Let the server do something with a job or group; its button shows that this is under way. */
  sendCommand(verb, row) {
    row.markPending(verb);
    this.connection.send(verb, [row.id]);
  }

  /** Say what the server has not done, and why. */
  showError({ verb, reason }) {
    const error = this.findPart("error");
    if (!error) return;
    this.findPart("failure")?.replaceChildren(this.catalog.text(`${verb}-failed`));
    (this.findPart("reason") ?? error).textContent = reason;
    error.hidden = false;
  }
}
