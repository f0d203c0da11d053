"""Blobs, pages of documents, extractions, templates, annotations and reviews."""
