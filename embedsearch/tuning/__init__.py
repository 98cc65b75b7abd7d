"""What training encoders, language models and word vectors share.

A layer below these, which never import one another, and beside `text/`: it knows tokenizers, and no
model in particular. Torch stays inside its functions; models are changed in place.
"""
