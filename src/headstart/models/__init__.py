"""The representations, one paper a file."""
