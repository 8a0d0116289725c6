#!/bin/sh
# The container's command: llama.cpp's server with the same settings as `python -m llama`.
# Serves the file in /models that MODEL names, or the newest file there, or the small model of this image.
set -eu

newest() {
    # shellcheck disable=SC2012  # model file names contain no line feeds
    ls -t "$1"/*.gguf 2>/dev/null | head -n 1
}

if [ ! -r /models ] || [ ! -x /models ]; then # otherwise the small model would be served without an explanation
    echo "llama: user $(id -u) cannot read /models, the folder that MODELS names; run chmod o+rx on that folder" >&2
    exit 1
fi
if [ -n "${MODEL:-}" ]; then
    model=/models/${MODEL##*/}
else
    model=$(newest /models)
    model=${model:-$(newest /model)}
fi
if [ ! -r "$model" ]; then
    echo "llama: $model does not exist, or user $(id -u) cannot read it; the folder that MODELS names is mounted as /models" >&2
    exit 1
fi
name=${model##*/}
echo "llama: serving $name"

# An eighth of the memory, between 256 and 8192 MiB, as llama/memory.py computes it
prompt_cache() {
    total=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
    limit=$(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | head -n 1)
    case $limit in
        '' | *[!0-9]*) ;; # "max"
        *) [ $((limit / 1024)) -ge "$total" ] || total=$((limit / 1024)) ;;
    esac
    mib=$((total / 8 / 1024))
    [ "$mib" -ge 256 ] || mib=256
    [ "$mib" -le 8192 ] || mib=8192
    echo "$mib"
}

slots=${LLAMA_SLOTS:-4}
export LLAMA_ARG_FIT=off # otherwise llama.cpp may reduce the context
exec /app/llama-server \
    --model "$model" --alias "${name%.gguf}" \
    --host 0.0.0.0 --port 8080 ${LLAMA_API_KEY_FILE:+--api-key-file "$LLAMA_API_KEY_FILE"} \
    --parallel "$slots" --ctx-size "$((slots * ${LLAMA_CONTEXT:-4096}))" \
    ${LLAMA_THREADS:+--threads "$LLAMA_THREADS"} \
    --flash-attn on --cache-ram "${LLAMA_PROMPT_CACHE:-$(prompt_cache)}" --no-slots --no-ui
