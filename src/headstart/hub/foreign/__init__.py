"""Other people's files: their formats, read strictly and written exactly."""
