"""`make run`: everything that the project needs, started, watched and ended together. No Django in here."""
