"""Inspection of what an encoder knows about words."""
