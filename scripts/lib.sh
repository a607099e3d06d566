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

# RocksDB is written in C++, and its Rust bindings are generated with libclang. Nothing else here needs
# either, so they are looked for only when some crate of the lock file is built on RocksDB.
need_rocksdb() {
  grep -q '^name = "librocksdb-sys"$' Cargo.lock || return 0
  need_cxx
  need_libclang
  # The wheel has no headers of its own; with a packaged libclang the flag does no harm.
  export BINDGEN_EXTRA_CLANG_ARGS="${BINDGEN_EXTRA_CLANG_ARGS:--I$(cc -print-file-name=include)}"
  # With a compiler cache, the second profile and the next clone cost a minute.
  command -v ccache >/dev/null && export CXX="${CXX:-ccache c++}"
  echo "RocksDB is built from source, once: about 20 minutes on 2 cores"
}

need_cxx() {
  command -v c++ >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing a C++ compiler, which RocksDB needs"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends g++; } || true
  fi
  command -v c++ >/dev/null ||
    fail "a C++ compiler is missing: install one (Debian: apt-get install g++)"
}

need_libclang() {
  local wheel="$cache_directory/libclang/clang/native"
  [ -e "$wheel" ] && export LIBCLANG_PATH="${LIBCLANG_PATH:-$wheel}"
  have_libclang && return
  echo "installing libclang, which RocksDB's bindings need"
  install_libclang || true
  [ -e "$wheel" ] && export LIBCLANG_PATH="$wheel"
  have_libclang || fail "libclang is missing: run 'apt-get install libclang-dev' and start again"
}
