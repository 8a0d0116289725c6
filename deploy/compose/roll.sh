#!/bin/sh
# A new version without a pause: deploy/compose/roll.sh [SERVICE...], by default dbapi, then web.
# One new container comes beside the old ones, then an old one hands its answers over and leaves, and so on.
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- dbapi web

SETTLE_SECONDS=6 # nginx asks for web's addresses every 5 s, and must know the new one before an old one goes

docker compose build "$@" migrate
docker compose run --rm --no-deps migrate # old and new versions share the tables, see docs/upgrades.md

for service; do
    old=$(docker compose ps --quiet "$service")
    more=$(($(echo "$old" | wc -w) + 1))
    for container in $old; do
        docker compose up --detach --wait --no-deps --no-recreate --scale "$service=$more" "$service"
        sleep "$SETTLE_SECONDS"
        docker stop "$container"
        docker rm "$container"
    done
done
