"""Calls of language models through the batch endpoints of their providers: later, and at half the price."""
