#!/bin/sh
# Upgrades without downtime: deploy/compose/roll.sh [SERVICE...]. Default: dbapi, then web.
# For each old container: starts a new one, waits until it is healthy, and stops the old one, which hands over its
# answers.
# If a new container does not become healthy, it is removed, the old ones keep running, and the tag names their image
# again, so that the next "docker compose up" does not start the refused version.
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- dbapi web

HEALTHY_SECONDS=${HEALTHY_SECONDS:-90} # a start takes 2 to 5
SETTLE_SECONDS=${SETTLE_SECONDS:-3}    # nginx, which resolves web every second, must know the new one before an old one stops

log() { echo "roll.sh: $*" >&2; }
running() { docker compose ps --quiet "$1"; }
count() { echo $#; }

new_containers() {
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

fail() {
    log "the new $service did not become healthy; the end of its log:"
    docker logs --tail 20 "$1" >&2
    exit 1
}

image_of() { docker inspect --format "$1 {{.Image}} {{.Config.Image}}" $(running "$1" | head -n 1); }

roll_back() {
    # While $before is set, containers that are not in it are new and not yet known to be healthy
    if [ -n "$before" ]; then
        for each in $(new_containers); do
            docker rm --force "$each" >/dev/null
        done
        log "removed the new $service; old containers that keep running: $(count $before)"
    fi
    echo "$images" | while read -r _ id name; do
        [ -z "$name" ] || docker tag "$id" "$name" || log "cannot tag $id; run: docker tag $id $name"
    done
    [ -z "$images" ] || log "the images have their old tags again; before the next docker compose up, undo changes of TAG and compose.yml"
}

before='' images=
for service; do
    case $service in
        dbapi | web) ;;
        *) log "$service cannot run twice; docker compose up --detach $service replaces it, with a short downtime"; exit 2 ;;
    esac
    [ -n "$(running "$service")" ] || { log "no $service is running; run: docker compose up --detach --wait"; exit 1; }
done

# Lines "SERVICE ID NAME" of the services that still run their old image; the build makes dbapi's in any case
images=$(for service in $(printf '%s\n' dbapi "$@" | sort -u); do image_of "$service"; done)
trap roll_back EXIT
trap 'exit 130' INT TERM
docker compose build secrets "$@" # secrets builds the image of dbapi
docker compose run --rm --no-deps migrate # old and new versions work with the same tables, see docs/upgrades.md

for service; do
    docker compose rm --force "$service" # otherwise a stopped container would be started again, in its old version
    for container in $(running "$service"); do
        before=$(running "$service")
        docker compose up --detach --no-deps --no-recreate --scale "$service=$(($(count $before) + 1))" "$service"
        for new in $(new_containers); do
            is_healthy "$new" || fail "$new"
        done
        sleep "$SETTLE_SECONDS"
        before=
        docker stop "$container"
        docker rm "$container"
    done
    images=$(echo "$images" | sed "/^$service /d")
done
images= # nothing was refused
docker compose build backup-image # not before, so that a refused version changes nothing
