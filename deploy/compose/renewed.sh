#!/bin/sh
# Deploy hook for certbot: copies the new certificate to the proxy's folder and reloads the proxy. See docs/tls.md.
set -eu
cd "$(dirname "$0")/../.."
folder=$(sed -n 's/^TLS_FOLDER=//p' .env)
for name in fullchain privkey; do
    install -m 640 -g 101 "$RENEWED_LINEAGE/$name.pem" "$folder/$name.pem"
done
docker compose kill --signal HUP proxy
