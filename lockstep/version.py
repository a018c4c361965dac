"""What we call ourselves before others."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
