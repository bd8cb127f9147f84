#!/usr/bin/env bash
# Measures on a machine with a GPU that has frameworks, but neither Keras nor a network.
#
#   bash run.sh [SECONDS [OPTION ...]]      options of `bcdl sprint`, --steps or --models for instance
#
# What comes home is in $OUT, or in out/ beside this file: a few files, renewed after every cell. Cells whose records
# are in results/ beside this file are not run again.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
seconds=${1:-550}
shift $(($# > 0))
out=${OUT:-$here/out}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit
python=${PYTHON:-python3}
start=$SECONDS

# Python keeps what it compiles of modules, or every worker would compile Keras and its framework anew.
unset PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED=1 CUDA_DEVICE_ORDER=PCI_BUS_ID
export PYTHONPATH=$here/site:$here/source

measure() {
    nvidia-smi -q >"$out/nvidia-smi.txt" 2>&1 || echo "note: nvidia-smi gives no answer; see nvidia-smi.txt"
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$here/site" "$here"/wheels/*.whl || return
    "$python" -m pip check | grep -E '^(keras|namex|optree|platformdirs|pooch) .*not installed' &&
        echo "note: without these Keras can't be imported; pack them, too: bcdl pack --with NAME"
    "$python" -m compileall -q -j 0 "$here/site" "$here/source"
    cd "$here" || return
    references=()
    [ -d parity ] && references=(--parity parity)
    "$python" -m bcdl sprint --seconds $((seconds - SECONDS + start)) --out "$out" --results results \
        "${references[@]}" "$@"
}

measure "$@" 2>&1 | tee "$out/screen.txt"
