"""The text representations, one paper per file."""
