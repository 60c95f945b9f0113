"""Convert text to ids: word and subword vocabularies, packing, and batches by length."""
