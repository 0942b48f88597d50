// The messages of the script, in the language of the page.

/** The messages in a template: elements with `data-word`, and `data-n` where a number decides. */
export class Catalog {
  // By word, or "word #" for one that counts: its plural forms.
  #messages = new Map();
  #plurals;

  constructor(template, locale) {
    this.locale = locale;
    this.#plurals = new Intl.PluralRules(locale);
    for (const { dataset, textContent } of template?.content.querySelectorAll("[data-word]") ?? []) {
      const key = "n" in dataset ? `${dataset.word} #` : dataset.word;
      const form = { category: this.#plurals.select(Number(dataset.n ?? 0)), text: textContent.trim() };
      this.#messages.set(key, [...(this.#messages.get(key) ?? []), form]);
    }
  }

  /** Return a message, or its form for a number of things; empty when the template has none. */
  text(word, number) {
    const forms = this.#messages.get(number === undefined ? word : `${word} #`) ?? [];
    const form = forms.find(({ category }) => category === this.#plurals.select(number ?? 0)) ?? forms.at(-1);
    return form?.text.replace("#", number ?? "#") ?? "";
  }

  /** Return a status text; one that the job did not set itself is translated. */
  statusText({ type, state, status }) {
    const word = type === "group" ? type : state === "lost" ? "failed" : state;
    if (status.toLowerCase() === word) return this.text(word) || status;
    const wait = [...this.#messages].find(([key]) => key.startsWith("^") && status.match(key));
    return wait ? status.replace(RegExp(wait[0]), wait[1][0].text) : status;
  }
}
