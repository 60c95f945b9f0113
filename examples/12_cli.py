"""Run commands from Python and print their exit codes."""

from pathlib import Path

from headstart.cli.app import main

Path("reviews.csv").write_text("text,label\nfine,good\nlovely,good\ndull,bad\nloud,bad\n")
print("exit code", main(["data", "check", "reviews.csv"]))
print("exit code", main(["data", "check", "no-such-file.csv"]))
