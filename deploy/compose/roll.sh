#!/bin/sh
# A new version without a pause: deploy/compose/roll.sh [SERVICE...], by default dbapi, then web.
# One new container comes beside the old ones, then an old one hands its answers over and leaves, and so on.
# A new one that doesn't get healthy is taken away again, and the old ones go on.
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- dbapi web

HEALTHY_SECONDS=${HEALTHY_SECONDS:-90} # a start takes 2 to 5
SETTLE_SECONDS=${SETTLE_SECONDS:-3}    # nginx asks for web's addresses every second, and must know the new one before an old one goes

say() { echo "roll.sh: $*" >&2; }
running() { docker compose ps --quiet "$1"; }
count() { echo $#; }

newcomers() {
    for each in $(docker compose ps --all --quiet "$service"); do
        case $before in *"$each"*) ;; *) echo "$each" ;; esac
    done
}

is_healthy() {
    deadline=$(($(date +%s) + HEALTHY_SECONDS))
    while [ "$(date +%s)" -lt "$deadline" ]; do
        case $(docker inspect --format '{{.State.Health.Status}}' "$1") in
            healthy) return 0 ;;
            unhealthy) return 1 ;;
        esac
        sleep 0.5
    done
    return 1
}

refuse() {
    say "the new $service doesn't get healthy; what it said last:"
    docker logs --tail 20 "$1" >&2
    exit 1
}

# Until $before is empty, whoever is not in it is new and has not shown that it can serve
take_back() {
    [ -n "$before" ] || return 0
    for each in $(newcomers); do
        docker rm --force "$each" >/dev/null
    done
    say "the new $service is gone again, the old go on: $(count $before)"
}

before=
for service; do
    case $service in
        dbapi | web) ;;
        *) say "there can't be two $service; docker compose up --detach $service replaces it, with a pause"; exit 2 ;;
    esac
    [ -n "$(running "$service")" ] || { say "no $service is running: docker compose up --detach --wait"; exit 1; }
done

docker compose build secrets "$@" # the image of secrets is dbapi's
docker compose run --rm --no-deps migrate # old and new versions share the tables, see docs/upgrades.md

trap take_back EXIT
trap 'exit 130' INT TERM
for service; do
    docker compose rm --force "$service" # one that has ended would be started again, in its old version
    for container in $(running "$service"); do
        before=$(running "$service")
        docker compose up --detach --no-deps --no-recreate --scale "$service=$(($(count $before) + 1))" "$service"
        for new in $(newcomers); do
            is_healthy "$new" || refuse "$new"
        done
        sleep "$SETTLE_SECONDS"
        before=
        docker stop "$container"
        docker rm "$container"
    done
done
