#!/bin/sh
# Generates all secrets and prints them as manifests. Run it once:
# deploy/kubernetes/secrets.sh | kubectl apply --filename -
# If you run PostgreSQL elsewhere, pass its address: secrets.sh db-rw.runnel-database.svc.cluster.local:5432/runnel
# To use existing secrets, set OWNER_PASSWORD, APP_PASSWORD, or the LLAMA_API_KEY of your model server.
set -eu
address=${1:-db:5432/runnel}
random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
owner=${OWNER_PASSWORD:-$(random)} app=${APP_PASSWORD:-$(random)} superuser=$(random) dbapi=$(random) llama=${LLAMA_API_KEY:-$(random)}
owner_url=postgresql://runnel_owner:$owner@$address app_url=postgresql://runnel_app:$app@$address

secret() { # NAMESPACE NAME TYPE KEY VALUE ...
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ntype: %s\nstringData:\n' "$2" "$1" "$3"
    shift 3
    while [ $# -gt 0 ]; do
        printf '  %s: "%s"\n' "$1" "$2"
        shift 2
    done
}

secret runnel web Opaque secret_keys "$(random)" dbapi_keys "$dbapi" llama_api_key "$llama"
secret runnel dbapi Opaque dbapi_keys "$dbapi" dbapi_database_url "$app_url"
secret runnel owner Opaque database_url "$owner_url" dbapi_database_url "$app_url"
if [ $# -eq 0 ]; then
    secret runnel llama Opaque llama_api_key "$llama"
    secret runnel db Opaque postgres "$superuser"
    secret runnel superuser Opaque superuser_url "postgresql://postgres:$superuser@$address"
else
    secret runnel-database owner kubernetes.io/basic-auth username runnel_owner password "$owner"
fi
