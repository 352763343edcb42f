#!/usr/bin/env bash
# Debian packages that the tests start as real programs. Installs what is missing where it may (root with apt-get),
# names it otherwise. Without them tests skip by name; under CI=true a missing one fails the run.
set -euo pipefail

declare -A package_of=([chromium]=chromium [postgres]=postgresql)

present() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

missing=()
for program in "${!package_of[@]}"; do
    present "$program" || missing+=("${package_of[$program]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "missing for some tests, which will skip: ${missing[*]}" >&2
    [ "${CI:-}" != true ]
fi
