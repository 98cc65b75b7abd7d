"""What training an encoder and training a language model share, for models of transformers.

A layer below both, which never import one another, and beside `text/`: it knows tokenizers, and no
model in particular. Torch stays inside its functions; models are changed in place.
"""
