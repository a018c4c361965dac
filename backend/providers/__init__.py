"""HTTP clients of other people's APIs, one folder each, alike inside. No Django in here."""
