"""File formats of other projects, read strictly and written exactly."""
