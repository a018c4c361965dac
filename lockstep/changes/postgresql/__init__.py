"""Django's backend for PostgreSQL, whose connections notice that their server is gone (changes/connecting.py)."""
