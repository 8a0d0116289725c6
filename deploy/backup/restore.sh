#!/usr/bin/env bash
# Restores a backup completely or not at all: deploy/backup/restore.sh < FILE
# Run it with the login that owns the tables; address.sh selects the database. Existing data is replaced only with
# REPLACE=yes. Afterwards run: alembic upgrade head, and python -m dbapi.login.
set -euo pipefail
. "$(dirname "$0")/address.sh"
export PGOPTIONS="${PGOPTIONS:-} -c runnel.replace=${REPLACE:-no} -c client_min_messages=warning"

# VERBOSITY=terse: the detail and the context of an error quote rows
output=$(gunzip | psql --no-psqlrc --quiet --output=/dev/null --set=ON_ERROR_STOP=1 --set=VERBOSITY=terse ${DATABASE_URL:+"$DATABASE_URL"})
[ "$output" = restored ] || { echo "The backup is incomplete; the database was not changed." >&2; exit 1; }
