"""Vestry: offline key ceremonies for TUF root key holders."""

__version__ = "0.2.0"
