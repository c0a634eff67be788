"""Is this machine fit for a ceremony."""
