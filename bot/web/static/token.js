// The dialog that asks for a token, where the studio is not open to whoever uses the machine.

import { askJson, forget, identify, isOpen } from "./api.js";
import { complain, find } from "./dom.js";
import { say } from "./words.js";

const PREFIX = "atl_"; // of every token

export class TokenDialog {
  /** `enter` is called with the studio's options, `leave` whenever the dialog was closed. */
  constructor(enter, leave) {
    this.dialog = find("#token");
    this.form = find("#token-form");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._submit(enter);
    });
    this.dialog.addEventListener("close", leave);
  }

  /** Ask, and say what was wrong with the token before, if there was one. */
  ask(problem) {
    complain(this.form, isOpen() ? "" : problem.message);
    forget();
    if (!this.dialog.open) this.dialog.showModal();
  }

  async _submit(enter) {
    const token = this.form.token.value.trim();
    this.form.token.select();
    if (!token) return complain(this.form, say("Please paste your token first."));
    if (!token.startsWith(PREFIX)) return complain(this.form, say("This is no token. Copy the whole of it, from atl_ on."));
    identify(token, this.form.keep.checked);
    try {
      enter(await askJson("/v1/options"));
    } catch (problem) {
      forget();
      return complain(this.form, problem.message);
    }
    this.form.reset();
    this.dialog.close();
  }
}
