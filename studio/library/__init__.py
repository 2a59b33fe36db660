"""Creations on disk: the files are the truth, the rows are made from them."""
