"""Compare methods fairly, on the same labels, seeds and test rows, with valid statistics."""
