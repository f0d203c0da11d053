#!/bin/sh
# Run once, by the Postgres image, when its volume is empty: Temporal gets a role of its own, which sees none of our tables.
set -eu

psql --set ON_ERROR_STOP=1 --set password="$TEMPORAL_DATABASE_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'password';
REVOKE CONNECT ON DATABASE towpath FROM PUBLIC;
SQL
