"""Vector collections: objects and their vectors in Postgres, the index that finds the nearest in Chroma.

Postgres decides what is live; Chroma holds copies of vectors under ids that name object, version and
part. A reader drops what is not live, so it never sees half of a change.
"""
