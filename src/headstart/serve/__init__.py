"""A fitted model at work on text it has not seen."""
