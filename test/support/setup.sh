#!/bin/sh
# Makes a bare checkout ready: the packages of the lock file, among them the Node that Pinnace runs on. Runs before
# `npm start` and `npm test`; says nothing when nothing is to be done. Needs only sh, npm and whatever Node npm runs on.
set -eu
cd "$(dirname "$0")/../.."
installed=node_modules/.package-lock.json

if [ ! -f "$installed" ] || [ -n "$(find package-lock.json -newer "$installed")" ]; then
  echo "pinnace: installing the packages of package-lock.json into node_modules" >&2
  # No package needs an install script, so none may run.
  if ! output=$(npm ci --ignore-scripts --no-audit --no-fund --loglevel=error \
    --include=prod --include=dev --include=optional 2>&1); then
    printf '%s\n' "$output" >&2
    echo "pinnace: 'npm ci' failed (see above). It needs the package registry and room on the disk; then try again." >&2
    exit 69
  fi
fi

PATH="$PWD/node_modules/.bin:$PATH"
if ! version=$(node --version 2>&1); then
  echo "pinnace: the Node of this checkout does not run here: $version" >&2
  echo "pinnace: packages of it exist for Linux with glibc on x64 and arm64; elsewhere put Node 24.15 or later on PATH." >&2
  exit 69
fi
numbers=${version#v}
major=${numbers%%.*}
minor=${numbers#*.}
minor=${minor%%.*}
if [ "$major" -lt 24 ] || { [ "$major" -eq 24 ] && [ "$minor" -lt 15 ]; }; then
  echo "pinnace: Node 24.15 or later is needed, but 'node' here is $version." >&2
  echo "pinnace: remove node_modules and try again, or put a newer Node on PATH." >&2
  exit 69
fi
