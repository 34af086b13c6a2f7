"""Weights in and out: names, files, vocabularies, and what does not fit."""
