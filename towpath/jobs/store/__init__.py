"""Jobs in Postgres."""
