"""The world outside: LLM providers, embedders, OCR, the guarded HTTP client. Empty until the first system needs one.

May import domain and contracts.
"""
