"""Prints name and digest of an image, from the file that `docker build --metadata-file=FILE` wrote."""

import json
import sys
from pathlib import Path


def main(path: str) -> int:
    """The exit code."""
    built = json.loads(Path(path).read_text(encoding="utf-8"))
    name, _, _ = built["image.name"].rpartition(":")
    sys.stdout.write(f"name={name}\ndigest={built['containerimage.digest']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
