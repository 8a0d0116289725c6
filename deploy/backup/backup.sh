#!/usr/bin/env bash
# Writes the whole database to standard output, as one gzipped psql script: deploy/backup/backup.sh > FILE
# Run it with the login that owns the tables; address.sh selects the database.
#
# The script is one transaction, which before.sql begins. It refuses to replace data without REPLACE=yes, counts and
# hashes every table at the end, and rolls back if a row is missing. A truncated file never reaches its COMMIT.
set -euo pipefail
cd "$(dirname "$0")"
. ./address.sh

{
    cat before.sql
    psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 --file=dump.psql ${DATABASE_URL:+"$DATABASE_URL"}
    cat after.sql
} | gzip
