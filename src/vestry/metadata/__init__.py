"""TUF metadata: the one door, documents, changes, findings, thresholds, reviews."""
