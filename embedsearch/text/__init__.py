"""Text: reading files into documents, tokenizers, structure and chunking."""
