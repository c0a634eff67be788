"""Vestry: offline key ceremonies for TUF root key holders."""

__version__ = "0.1.0"
