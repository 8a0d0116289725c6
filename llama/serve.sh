#!/bin/sh
# What the container runs: llama.cpp's server with the settings that `python -m llama` gives it elsewhere.
# The model is the file of /models that MODEL names, else the newest there, else the small one of this image.
set -eu

newest() {
    # shellcheck disable=SC2012  # names of models hold no line ends
    ls -t "$1"/*.gguf 2>/dev/null | head -n 1
}

if [ ! -r /models ] || [ ! -x /models ]; then # else the small model would be served instead, and nobody told why
    echo "llama: user $(id -u) may not read /models, which is the folder that MODELS names: chmod o+rx it" >&2
    exit 1
fi
if [ -n "${MODEL:-}" ]; then
    model=/models/${MODEL##*/}
else
    model=$(newest /models)
    model=${model:-$(newest /model)}
fi
if [ ! -r "$model" ]; then
    echo "llama: $model is not there, or user $(id -u) may not read it; MODELS is the folder that is mounted as /models" >&2
    exit 1
fi
name=${model##*/}
echo "llama: serving $name"

slots=${LLAMA_SLOTS:-4}
export LLAMA_ARG_FIT=off # else it may choose a smaller context by itself
exec /app/llama-server \
    --model "$model" --alias "${name%.gguf}" \
    --host 0.0.0.0 --port 8080 ${LLAMA_API_KEY_FILE:+--api-key-file "$LLAMA_API_KEY_FILE"} \
    --parallel "$slots" --ctx-size "$((slots * ${LLAMA_CONTEXT:-4096}))" \
    ${LLAMA_THREADS:+--threads "$LLAMA_THREADS"} \
    --flash-attn on --cache-ram 256 --no-slots --no-ui
