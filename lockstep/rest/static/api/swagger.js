"use strict";

// A file of its own: the page may run no script that stands in it. The systems are shown closed, their operations too.
SwaggerUIBundle({
  url: "/api/schema/",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
});
