"""Files in Postgres, in pieces: documents, and what is uploaded and written for other features."""
