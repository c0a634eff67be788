"""The same ceremony as line-oriented prompts."""
