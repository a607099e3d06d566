# Sourced by .ci/run and scripts/test.sh: what both need from the machine.

cache_directory="${RAFT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/raft}"

fail() {
  printf '\nFAILED: %s\n' "$*" >&2
  exit 1
}

# The right toolchain and a linker, or one line that says how to get them.
need_toolchain() {
  command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs"
  command -v cc >/dev/null || fail "a C compiler is missing: install one (Debian: apt-get install gcc)"
}

# `cargo fmt` and `cargo clippy` are parts of the toolchain that a minimal installation lacks.
need_component() {
  cargo "$2" --version >/dev/null 2>&1 && return
  command -v rustup >/dev/null || fail "$1 is missing: install it with your Rust toolchain"
  echo "installing $1"
  rustup component add "$1" || fail "$1 is missing: run 'rustup component add $1'"
}

have_libclang() {
  # libclang-cpp is another library, and of no use here.
  [ -n "${LIBCLANG_PATH:-}" ] ||
    compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null ||
    compgen -G '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' >/dev/null ||
    compgen -G '/usr/lib/*/libclang-[0-9]*.so*' >/dev/null
}

install_libclang() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends libclang1-14 libclang-common-14-dev ||
      apt-get install -y -qq --no-install-recommends libclang-dev
  elif command -v python3 >/dev/null; then
    python3 -m pip install -q --no-deps --target "$cache_directory/libclang" libclang==18.1.1
  fi
}

# RocksDB generates its Rust bindings with libclang. Nothing else here needs it, so it is looked for
# only when some crate of the lock file is built on RocksDB.
need_libclang() {
  grep -q '^name = "librocksdb-sys"$' Cargo.lock || return 0
  local wheel="$cache_directory/libclang/clang/native"
  [ -e "$wheel" ] && export LIBCLANG_PATH="${LIBCLANG_PATH:-$wheel}"
  if ! have_libclang; then
    echo "installing libclang, which RocksDB's bindings need"
    install_libclang || true
    [ -e "$wheel" ] && export LIBCLANG_PATH="$wheel"
    have_libclang || fail "libclang is missing: run 'apt-get install libclang-dev' and start again"
  fi
  # The wheel has no headers of its own; with a packaged libclang the flag does no harm.
  export BINDGEN_EXTRA_CLANG_ARGS="${BINDGEN_EXTRA_CLANG_ARGS:--I$(cc -print-file-name=include)}"
  command -v ccache >/dev/null && export CXX="${CXX:-ccache c++}"
  echo "RocksDB is built from source, once: about 20 minutes on 2 cores"
}
