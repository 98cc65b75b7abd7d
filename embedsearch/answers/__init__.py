"""Answers to questions from a collection's passages, with their sources."""
