#!/bin/sh
# A new version without a pause: deploy/compose/roll.sh [SERVICE...], by default dbapi, then web.
# New containers come beside the old ones, which then hand their answers over and leave, one after the other.
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- dbapi web

SETTLE_SECONDS=6 # nginx asks for web's addresses every 5 s, and must know the new ones before, and forget the old one after

docker compose build "$@" migrate
docker compose run --rm --no-deps migrate # old and new versions share the tables: migrations only add, until a later version removes

for service; do
    old=$(docker compose ps --quiet "$service")
    count=$(echo "$old" | wc -w)
    docker compose up --detach --wait --no-deps --no-recreate --scale "$service=$((count * 2))" "$service"
    for container in $old; do
        sleep "$SETTLE_SECONDS"
        docker stop "$container"
        docker rm "$container"
    done
done
