"""Methods compared fairly, on the same labels, seeds and test rows, and what may be said of it."""
