"""Configurations of other programs, read into ours: texts in, `Imported` out; nothing is opened or fetched."""
