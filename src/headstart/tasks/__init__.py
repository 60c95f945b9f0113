"""What is done with an encoder: labels, heads, losses, scores."""
