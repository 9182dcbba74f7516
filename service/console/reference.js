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

SwaggerUIBundle({
  url: new URL("../openapi.json", import.meta.url).href,
  dom_id: "#calls",
  deepLinking: true,
  validatorUrl: null, // or it would ask a server elsewhere
  plugins: [emptyIsNotSent],
  requestInterceptor: (request) => {
    if (key.get()) request.headers.Authorization = `Bearer ${key.get()}`;
    return request;
  },
});
