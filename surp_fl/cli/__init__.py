"""The command line of the library."""

from surp_fl.cli.command_line import main

__all__ = ["main"]
