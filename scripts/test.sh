#!/usr/bin/env bash
# Runs every test of the workspace, documentation examples included. Installs what it lacks, or says
# in one line how to. Arguments go to `cargo test`: scripts/test.sh -p raft-core elections
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

need_toolchain
need_rocksdb

scope=(--workspace)
for argument in "$@"; do
  case "$argument" in -p | --package | --package=*) scope=() ;; esac
done
cargo test --locked --all-features "${scope[@]}" "$@"
