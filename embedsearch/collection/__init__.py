"""A collection of documents: kept in step with files, indexed, searched, looked after."""
