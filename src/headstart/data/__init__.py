"""Text to records: corpora, labelled data, splits and the demo, with file:line in every error."""
