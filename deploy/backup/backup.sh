#!/usr/bin/env bash
# The whole database as one gzipped script for psql, on standard output: deploy/backup/backup.sh > FILE
# As the owner of the tables; where the database is: address.sh.
#
# The script is one transaction, that of before.sql: it refuses to replace data unless told to, counts and hashes every table at its
# end, and takes everything back if a row is missing. A file that was cut short never reaches its COMMIT.
set -euo pipefail
cd "$(dirname "$0")"
. ./address.sh

{
    cat before.sql
    psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 --file=dump.psql ${DATABASE_URL:+"$DATABASE_URL"}
    cat after.sql
} | gzip
