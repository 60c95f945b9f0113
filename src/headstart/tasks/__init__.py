"""The tasks that an encoder is used for: labels, heads, losses and scores."""
