// What every view is made with, by one door.

export { html, nothing, svg } from "./vendor/lit-html-3.3.3.js";
export * from "./api.js";
export * from "./app.js";
export * from "./calls.js";
export * from "./parts.js";
export * from "./words.js";
