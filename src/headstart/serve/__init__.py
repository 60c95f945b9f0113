"""Prediction and evaluation with fitted models."""
