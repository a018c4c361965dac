"""Django's backend for PostgreSQL, with connections that detect a lost server (changes/connecting.py)."""
