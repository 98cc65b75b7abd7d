"""The command line: parse, call one function, print."""

from embedsearch.cli.main import main

__all__ = ["main"]
