"""Lines of batches, and their translation for providers of another wire format; pure."""
