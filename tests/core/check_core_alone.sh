#!/usr/bin/env bash
# core needs nothing outside libc: every symbol that it leaves undefined is defined by itself, by base, or
# by the C library. usage: check_core_alone.sh LIBMX_CORE LIBMX_BASE
set -euo pipefail
core=$1 base=$2
# awk reads to the end: leaving early would break ldconfig's pipe, which pipefail takes for a failure.
libc=$(ldconfig -p | awk '$1 == "libc.so.6" && !path {path = $NF} END {print path}')
[ -r "$libc" ] || { echo "no libc.so.6 found"; exit 1; }
provided=$({
	nm --defined-only -g "$core" "$base" | awk 'NF == 3 {print $3}'
	nm -D --defined-only "$libc" | awk '{sub(/@.*/, "", $3); print $3}'
} | sort -u)
wanted=$(nm -u "$core" | awk '$1 == "U" {print $2}' | sort -u)
[ -n "$wanted" ] || { echo "$core leaves nothing undefined: is it empty?"; exit 1; }
# The compiler's own run time: processor detection, bit counts, sanitizers, address of the module.
foreign=$(comm -23 <(printf '%s\n' "$wanted") <(printf '%s\n' "$provided") |
	grep -vE '^(__cpu_model|__cpu_indicator_init|__popcountdi2|__(asan|ubsan)_.*|_GLOBAL_OFFSET_TABLE_)$' || true)
if [ -n "$foreign" ]; then
	printf 'core needs what libc does not have:\n%s\n' "$foreign"
	exit 1
fi
echo "100%: Checks: 1, Failures: 0, Errors: 0"
