"""Pretrained encoders: pretraining, loading and saving them, and proof of their transfer."""
