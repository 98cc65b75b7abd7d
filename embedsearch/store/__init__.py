"""The collection's SQLite database: the only truth about documents, chunks and vectors."""
