"""What makes the site of docs/: hooks of MkDocs, and the few files of its own that the theme takes."""
