"""Serves files and batches as OpenAI's API does, over every model that Towpath knows."""
