"""Load corpora, labeled data, splits and the demo. Every error names the file and the line."""
