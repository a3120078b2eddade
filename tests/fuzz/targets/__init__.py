"""Targets of the fuzzers: every reader of bytes, as a function of bytes that must return."""
