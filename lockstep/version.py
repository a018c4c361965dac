"""What we call ourselves before others."""

VERSION = "0.1.0"
