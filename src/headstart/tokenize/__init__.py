"""Records to ids: word and sub-word vocabularies, packing and length grouping."""
