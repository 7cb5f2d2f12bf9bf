"""One operation, done well: not twice, not too fast, and never wrong about whether it happened."""
