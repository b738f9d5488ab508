// <tmix-image src="photo.tmix" alt="A red door">: a picture that any page can show.

import { decode } from "./client.js";
import { TmixError } from "./errors.js";
import { fetchBytes } from "./runtime.js";
import { showOn } from "./show.js";
import type { DecodedPicture } from "./worker.js";

const STYLE = `
  :host { display: inline-block; max-width: 100%; }
  :host([hidden]) { display: none; }
  canvas { display: block; max-width: 100%; height: auto; }
  p { margin: 0; padding: 0.75em 1em; border: 1px solid; border-radius: 0.5em; font: inherit; }
`;

/**
 * Shows the file that `src` names, and says its `alt` text to whoever cannot see it.
 *
 * Fires `load` when the picture is there, and `error` with a message in its detail when there is none. With
 * `loading="lazy"` it waits until it is nearly visible.
 */
export class TmixImage extends HTMLElement {
  static readonly observedAttributes = ["src", "alt"];

  /** What is shown; null while there is nothing. */
  picture: DecodedPicture | null = null;
  private readonly root = this.attachShadow({ mode: "open" });
  private shown = "";
  private observer: IntersectionObserver | undefined;

  connectedCallback(): void {
    this.refresh();
  }

  disconnectedCallback(): void {
    this.observer?.disconnect();
  }

  attributeChangedCallback(name: string): void {
    if (name === "alt") this.describe();
    else if (this.isConnected) this.refresh();
  }

  private refresh(): void {
    const source = this.getAttribute("src") ?? "";
    this.observer?.disconnect();
    if (source === "" || source === this.shown) return;
    if (this.getAttribute("loading") !== "lazy") {
      void this.load(source);
      return;
    }
    this.observer = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        this.observer?.disconnect();
        void this.load(source);
      },
      { rootMargin: "400px" },
    );
    this.observer.observe(this);
  }

  private async load(source: string): Promise<void> {
    this.shown = source;
    const style = document.createElement("style");
    style.textContent = STYLE;
    try {
      const bytes = await fetchBytes(new URL(source, document.baseURI).href);
      if (bytes === null) {
        throw new TmixError("unreachable", `${source} must be there, found no such file: check the address`);
      }
      const picture = await decode(bytes);
      const canvas = document.createElement("canvas");
      await showOn(canvas, picture);
      if (this.shown !== source) return;
      this.picture = picture;
      this.root.replaceChildren(style, canvas);
      this.describe();
      this.dispatchEvent(new Event("load"));
    } catch (error) {
      if (this.shown !== source) return;
      this.picture = null;
      const message = error instanceof Error ? error.message : String(error);
      const line = document.createElement("p");
      line.textContent = [this.getAttribute("alt"), message].filter(Boolean).join(": ");
      this.root.replaceChildren(style, line);
      this.dispatchEvent(new CustomEvent("error", { detail: message }));
    }
  }

  private describe(): void {
    const canvas = this.root.querySelector("canvas");
    const alt = this.getAttribute("alt");
    if (canvas === null) return;
    canvas.setAttribute("role", alt === "" ? "presentation" : "img");
    if (alt) canvas.setAttribute("aria-label", alt);
    else canvas.removeAttribute("aria-label");
  }
}

customElements.define("tmix-image", TmixImage);
