# Selects the database: DATABASE_URL, or the file DATABASE_URL_FILE, or libpq's PG* variables. The password is moved to
# PGPASSWORD, because command lines are visible to every user.
[ -z "${DATABASE_URL_FILE:-}" ] || DATABASE_URL=$(cat "$DATABASE_URL_FILE")
if [[ ${DATABASE_URL:-} =~ ^([a-z]+://[^:@/]*):([^@/]*)@(.*)$ ]]; then
    DATABASE_URL=${BASH_REMATCH[1]}@${BASH_REMATCH[3]}
    PGPASSWORD=$(printf '%b' "${BASH_REMATCH[2]//%/\\x}")
    export PGPASSWORD
fi
export DATABASE_URL=${DATABASE_URL:-} PGTZ=UTC PGCLIENTENCODING=UTF8 PGCONNECT_TIMEOUT=10
