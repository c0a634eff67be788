"""What crosses the air gap: bundles and drives."""
