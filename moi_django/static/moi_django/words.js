// The words of the templates.

/** The words of the templates, in the language of the page. */
export class Words {
  #forms = new Map();
  #rules;

  constructor(template, locale) {
    this.locale = locale;
    this.#rules = new Intl.PluralRules(locale);
    for (const { dataset, textContent } of template?.content.querySelectorAll("[data-word]") ?? []) {
      const key = "n" in dataset ? `${dataset.word} #` : dataset.word;
      const form = { kind: this.#rules.select(Number(dataset.n ?? 0)), text: textContent.trim() };
      this.#forms.set(key, [...(this.#forms.get(key) ?? []), form]);
    }
  }

  /** Return a word, or several for a number of things; empty when the template has none. */
  say(word, number) {
    const forms = this.#forms.get(number === undefined ? word : `${word} #`) ?? [];
    const kind = this.#rules.select(number ?? 0);
    const form = forms.find((form) => form.kind === kind) ?? forms.at(-1);
    return form?.text.replace("#", number ?? "#") ?? "";
  }

  /** Return a status text; one that the job did not set itself is translated. */
  status({ type, state, status }) {
    const plain = type === "group" ? type : state === "lost" ? "failed" : state;
    return (status.toLowerCase() === plain && this.say(plain)) || status;
  }
}
