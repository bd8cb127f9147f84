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
case $seconds in
'' | 0* | *[!0-9]* | ????????*)
    echo "error: SECONDS '$seconds' is no whole number of seconds above 0; options follow it: bash run.sh 550 --steps doctor" >&2
    exit 2
    ;;
esac
out=${OUT:-$here/out}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit
python=${PYTHON:-python3}
start=$SECONDS

# Python keeps what it compiles of modules, or every worker would compile Keras and its framework anew.
unset PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED=1 CUDA_DEVICE_ORDER=PCI_BUS_ID
export PYTHONPATH=$here/site:$here/source

needs() {
    "$python" -c "import $1" >/dev/null 2>&1 && return
    echo "error: $python can't import $1; $2, or set PYTHON to a Python that has it"
    return 2
}

measure() {
    nvidia-smi -q >"$out/nvidia-smi.txt" 2>&1 || echo "note: nvidia-smi gives no answer; see nvidia-smi.txt"
    needs pip "install it here, as python3-pip or by python3 -m ensurepip" || return
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$here/site" "$here"/wheels/*.whl || return
    needs psutil "pack it, too: bcdl pack --with psutil" || return
    "$python" -m pip check | grep -E '^(keras|namex|optree|platformdirs|pooch) .*not installed' &&
        echo "note: without these Keras can't be imported; pack them, too: bcdl pack --with NAME"
    "$python" -m compileall -q -j 0 "$here/site" "$here/source"
    cd "$here" || return
    references=()
    [ -d parity ] && references=(--parity parity)
    BCDL_ENDS_WITH_DRIVER=1 "$python" -m bcdl sprint --seconds $((seconds - SECONDS + start)) --out "$out" --results results \
        "${references[@]}" "$@"
}

# All that measures is a group of its own, to which a signal that would end this shell alone is passed on. If the shell
# is killed, its end of the sprint's stdin goes, and the sprint with it.
set -m
exec 3>&1
coproc all { measure "$@" 2>&1 | tee -i "$out/screen.txt" >&3; }
group=$all_PID
for signal in INT TERM HUP; do
    # shellcheck disable=SC2064 # the signal of now
    trap "kill -$signal -- -$group 2>/dev/null" "$signal"
done
wait "$group"
code=$?
while kill -0 "$group" 2>/dev/null; do # a signal has cut the waiting short
    wait "$group"
    code=$?
done
exit "$code"
