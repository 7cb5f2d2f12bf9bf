"""What may go wrong on purpose: faults by rule, latency, and how both look on the wire."""
