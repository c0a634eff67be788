"""What people keep on paper."""
