"""Use cases of extraction: documents opened and read, fields taken out, results reviewed."""
