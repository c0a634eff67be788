"""What services and other tools hand over to be signed, and what goes back to them, each in its own format."""
