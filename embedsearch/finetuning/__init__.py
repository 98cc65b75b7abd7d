"""Sentence encoders taught by one's own data, and whether they got better."""
