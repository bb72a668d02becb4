"""From bytes to a film: decode, refuse, orient, tone, prepare."""
