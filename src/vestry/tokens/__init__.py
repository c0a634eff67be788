"""Hardware behind one small protocol."""
