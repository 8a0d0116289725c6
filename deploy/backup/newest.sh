#!/usr/bin/env bash
# Prints the newest complete backup in a folder: deploy/backup/newest.sh FOLDER
# The names of backups begin with their time, so the last name is the newest. A truncated file lacks its last line.
set -euo pipefail
shopt -s nullglob
files=("$1"/*.sql.gz)

for ((i = ${#files[@]} - 1; i >= 0; i--)); do
    last=$(gunzip --stdout "${files[i]}" 2>/dev/null | tail --lines 1) || last=
    [ "$last" != '\echo restored' ] || { echo "${files[i]}"; exit 0; }
    echo "${files[i]} is incomplete; trying the one before" >&2
done
echo "There is no complete backup in $1." >&2
exit 1
