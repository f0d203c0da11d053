"""Use cases of files and batches, and what a batch's job does."""
