"""What is sealed in Postgres, as a whole."""
