#!/bin/sh
# Prints all secrets as manifests. Values that the cluster already has are kept, missing ones are generated, so it can
# run again:
# deploy/kubernetes/secrets.sh | kubectl apply --filename -
# If you run PostgreSQL elsewhere, pass its address: secrets.sh db-rw.runnel-database.svc.cluster.local:5432/runnel
# To use existing passwords, set OWNER_PASSWORD, APP_PASSWORD, or the LLAMA_API_KEY of your model server the first time.
set -eu
address=${1:-db:5432/runnel}
random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# Lines "NAMESPACE/SECRET/KEY BASE64"
lines='{{range .items}}{{$secret := .metadata}}{{range $key, $value := .data}}{{$secret.namespace}}/{{$secret.name}}/{{$key}} {{$value}}{{"\n"}}{{end}}{{end}}'
list() { kubectl get secrets --namespace "$1" --output "go-template=$lines"; }
list_all() { list runnel && { [ $# -eq 0 ] || list runnel-database; }; }

existing=
if command -v kubectl >/dev/null && ! existing=$(list_all "$@" 2>/dev/null); then
    # Without a configured cluster there is nothing to keep
    if kubectl config current-context >/dev/null 2>&1; then
        list_all "$@" >/dev/null || true # prints the reason
        echo "secrets.sh: kubectl cannot read the secrets that exist, and new ones must not replace them; nothing is printed" >&2
        exit 1
    fi
    existing=
fi

stored() { printf '%s\n' "$existing" | sed -n "s|^$1 ||p"; } # NAMESPACE/SECRET/KEY
get() { stored "$1" | base64 -d; }
first() { # the first argument that is not empty
    for each; do
        [ -z "$each" ] || { printf '%s' "$each"; return; }
    done
}
password() { # of the URL NAMESPACE/SECRET/KEY
    get "$1" | sed -n 's|^[a-z]*://[^:@/]*:\([^@]*\)@.*|\1|p'
}

owner=$(first "$(password runnel/owner/database_url)" "$(get runnel-database/owner/password)" "${OWNER_PASSWORD:-}" "$(random)")
app=$(first "$(password runnel/owner/dbapi_database_url)" "$(password runnel/dbapi/dbapi_database_url)" "${APP_PASSWORD:-}" "$(random)")
superuser=$(first "$(get runnel/db/postgres)" "$(password runnel/superuser/superuser_url)" "$(random)")
dbapi=$(first "$(get runnel/web/dbapi_keys)" "$(get runnel/dbapi/dbapi_keys)" "$(random)")
llama=$(first "$(get runnel/web/llama_api_key)" "$(get runnel/llama/llama_api_key)" "${LLAMA_API_KEY:-}" "$(random)")
owner_url=postgresql://runnel_owner:$owner@$address app_url=postgresql://runnel_app:$app@$address

secret() { # NAMESPACE NAME TYPE KEY VALUE ...
    path=$1/$2 data='' strings=''
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ntype: %s\n' "$2" "$1" "$3"
    shift 3
    while [ $# -gt 0 ]; do
        value=$(stored "$path/$1")
        if [ -n "$value" ]; then data="$data  $1: $value\n"; else strings="$strings  $1: \"$2\"\n"; fi
        shift 2
    done
    [ -z "$data" ] || printf 'data:\n%b' "$data"
    [ -z "$strings" ] || printf 'stringData:\n%b' "$strings"
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
