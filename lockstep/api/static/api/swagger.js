"use strict";

// A file of its own: the page may run no script that stands in it.
SwaggerUIBundle({ url: "/api/schema/", dom_id: "#swagger-ui", deepLinking: true });
