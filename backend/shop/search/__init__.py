"""Search of products by words."""
