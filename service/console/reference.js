// Every call, to be read and tried; with the key that was typed into the console, if any.

import { key } from "./api.js";

// Swagger UI would write "null" into a field that is null, and tick "Send empty value" at each.
const emptyIsNotSent = {
  components: { ParameterIncludeEmpty: () => null },
  afterLoad({ fn }) {
    const sampleOf = fn.getSampleSchema;
    fn.getSampleSchema = (...of) => {
      const sample = sampleOf(...of);
      return sample === "null" ? "" : sample;
    };
  },
};

// A link inside of a button cannot be reached by those who hear the page: the button is enough.
const plainPaths = ({ React }) => ({
  components: { DeepLink: ({ text }) => React.createElement("span", null, text) },
});

/** Give what Swagger UI leaves nameless a name, and what scrolls a place in the order of Tab. */
function mend() {
  for (const field of calls.querySelectorAll("input, select, textarea")) {
    const row = field.closest("[data-param-name], [data-property-name]");
    const { paramName, propertyName } = row?.dataset ?? {};
    if (!field.labels.length && !field.ariaLabel) field.ariaLabel = paramName ?? propertyName ?? "Body";
  }
  for (const example of calls.querySelectorAll("pre")) example.tabIndex = 0;
  for (const heading of calls.querySelectorAll("h3, h4, h5")) heading.ariaLevel = heading.tagName[1] - 1;
  Object.assign(calls.querySelector(".information-container") ?? {}, { role: "region", ariaLabel: "About" });
  for (const table of calls.querySelectorAll("table[role=region]")) table.role = "table";
}

const calls = document.getElementById("calls");
new MutationObserver(mend).observe(calls, { childList: true, subtree: true });

SwaggerUIBundle({
  url: new URL("../openapi.json", import.meta.url).href,
  dom_id: "#calls",
  deepLinking: true,
  syntaxHighlight: false, // its colours are too faint
  validatorUrl: null, // or it would ask a server elsewhere
  plugins: [emptyIsNotSent, plainPaths],
  requestInterceptor: (request) => {
    if (key.get()) request.headers.Authorization = `Bearer ${key.get()}`;
    return request;
  },
});
