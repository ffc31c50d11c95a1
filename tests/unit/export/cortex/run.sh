#!/bin/sh
# Runs an exported network's main_test on an emulated Cortex-M and compares what
# it prints with the host's. Status 77 (skipped) without the tools.
#   run.sh DIR cortex-m4 mps2-an386
set -eu
dir=$1 cpu=$2 machine=$3
here=$(dirname "$0")

# without TOOL
without() {
    echo "skipped: needs $1 (Debian: gcc-arm-none-eabi," \
        "libnewlib-arm-none-eabi, qemu-system-arm)"
    exit 77
}
for tool in arm-none-eabi-gcc arm-none-eabi-nm arm-none-eabi-size \
    qemu-system-arm; do
    command -v $tool >/dev/null 2>&1 || without $tool
done
# The path of a file that the compiler has, or its bare name.
[ "$(arm-none-eabi-gcc -print-file-name=rdimon.specs)" != rdimon.specs ] ||
    without newlib
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c99 -Os -Wall -Wextra -pedantic -Wconversion -Werror
    -mcpu=$cpu -mthumb -mfloat-abi=soft"

# shellcheck disable=SC2086
for part in network weights main_test; do
    arm-none-eabi-gcc $flags -c "$dir/$part.c" -o "$work/$part.o"
done
# Floats would be calls of __aeabi_fmul and the like.
arm-none-eabi-nm -u "$work/network.o" | awk '{ print $2 }' |
    LC_ALL=C sort >"$work/needed"
arm-none-eabi-nm --defined-only "$work/weights.o" | awk '{ print $3 }' |
    LC_ALL=C sort >"$work/given"
allowed='^(mem(set|cpy)|__aeabi_(mem(set|cpy|clr)[48]?|l(mul|lsl|lsr|asr)))$'
if LC_ALL=C comm -23 "$work/needed" "$work/given" | grep -Ev "$allowed"; then
    echo 'network.o calls what whole numbers do not need'
    exit 1
fi
# shellcheck disable=SC2086
arm-none-eabi-gcc $flags --specs=rdimon.specs -T "$here/mps2.ld" \
    "$here/vectors.c" "$work"/*.o -o "$work/test.elf"
timeout 60 qemu-system-arm -M "$machine" -nographic -monitor none -serial none \
    -semihosting-config enable=on,target=native -kernel "$work/test.elf" \
    </dev/null >"$work/device"
cc -std=c99 -O1 "$dir/main_test.c" "$dir/network.c" "$dir/weights.c" \
    -o "$work/host"
"$work/host" >"$work/host.txt"
if ! cmp -s "$work/device" "$work/host.txt"; then
    echo "$machine prints something else than the host:"
    diff "$work/host.txt" "$work/device" | head -n 8
    exit 1
fi
tail -n 1 "$work/device"
echo "$cpu: code, constants and data of network.c and weights.c"
arm-none-eabi-size "$work/network.o" "$work/weights.o"
