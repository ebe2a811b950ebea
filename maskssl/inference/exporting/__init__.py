"""Backbones for other libraries, one target a file; each is loaded back by its library."""
