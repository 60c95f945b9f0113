"""What an encoder knows, in words."""
