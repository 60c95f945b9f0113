"""The commands: one file per command, each one library call. Only this package prints."""
