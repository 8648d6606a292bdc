"""Backends by name: the word in the settings is the file's name."""
