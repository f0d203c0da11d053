#!/bin/sh
# Creates Temporal's two databases and brings their schemas up to date; a second run finds nothing to do.
set -eu

for database in temporal temporal_visibility; do
    case "$database" in
        temporal) versions=temporal ;;
        *) versions=visibility ;;
    esac
    sql() {
        temporal-sql-tool --plugin postgres12 --ep "$POSTGRES_SEEDS" -p "$DB_PORT" -u "$POSTGRES_USER" \
            --pw "$SQL_PASSWORD" --db "$database" "$@"
    }
    sql create
    sql setup-schema -v 0.0
    sql update-schema -d "/etc/temporal/schema/postgresql/v12/$versions/versioned"
done
