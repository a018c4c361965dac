"""The version, for User-Agent headers and traces. pyproject.toml has it too."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
