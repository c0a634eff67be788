"""A ceremony: its script, its events, the fold over them, and the one place with effects."""
