"""Encoders as folders: saved, loaded, pretrained, described and proven."""
