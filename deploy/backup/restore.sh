#!/usr/bin/env bash
# Brings a backup back, all of it or nothing: deploy/backup/restore.sh < FILE. As the owner; where the database is: address.sh.
# Data that is there already is replaced only with REPLACE=yes. Afterwards: alembic upgrade head, and python -m dbapi.login.
set -euo pipefail
. "$(dirname "$0")/address.sh"
export PGOPTIONS="${PGOPTIONS:-} -c runnel.replace=${REPLACE:-no} -c client_min_messages=warning"

told=$(gunzip | psql --no-psqlrc --quiet --output=/dev/null --set=ON_ERROR_STOP=1 ${DATABASE_URL:+"$DATABASE_URL"})
[ "$told" = restored ] || { echo "This is not a whole backup: nothing was changed." >&2; exit 1; }
