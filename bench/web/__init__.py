"""Web servers that stand beside ours: the same rows, the same JSON, a signed token on every request."""
