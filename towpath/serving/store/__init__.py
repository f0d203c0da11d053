"""Files, batches and lines of batches in Postgres."""
