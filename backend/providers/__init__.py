"""HTTP clients of external APIs, one folder for each, alike inside. They do not import Django."""
