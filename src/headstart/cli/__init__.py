"""The commands: one verb a file, each one library call; the only room that prints."""
