"""One module for each file of `tests/vectors`; each has `build()`, which returns the text of its file."""
