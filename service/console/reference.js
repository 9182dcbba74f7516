// Every call, to be read and tried; with the key that was typed into the console, if any.

import { key } from "./api.js";

SwaggerUIBundle({
  url: new URL("../openapi.json", import.meta.url).href,
  dom_id: "#calls",
  deepLinking: true,
  validatorUrl: null, // or it would ask a server elsewhere
  requestInterceptor: (request) => {
    if (key.get()) request.headers.Authorization = `Bearer ${key.get()}`;
    return request;
  },
});
