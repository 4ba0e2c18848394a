# Sourced by the README's commands: installs what a fresh Debian lacks. Rust itself is the caller's.
# need FILE PACKAGE ...: installs those Debian packages whose file is missing, as root or through sudo. A program is
# looked for on the PATH, anything else by its path.
need() {
  local missing=()
  while [ $# -gt 0 ]; do
    [ -e "$1" ] || PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || missing+=("$2")
    shift 2
  done
  [ ${#missing[@]} -eq 0 ] && return
  local root=()
  [ "$(id -u)" -eq 0 ] || root=(sudo)
  echo "installing ${missing[*]}" >&2
  "${root[@]}" apt-get update -q >&2
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >&2
}

# npm_folder FOLDER: installs what its package-lock.json names, unless that was done.
npm_folder() {
  [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ] && return
  npm ci --no-audit --no-fund --loglevel=error --prefix "$1" >&2 && touch "$1/node_modules/.package-lock.json"
}

# python_folder FOLDER: installs what its requirements.txt names into FOLDER/venv, unless that was done.
python_folder() {
  [ "$1/venv/installed" -nt "$1/requirements.txt" ] && return
  /usr/bin/python3 -m venv --clear "$1/venv" >&2
  "$1/venv/bin/pip" install -q --disable-pip-version-check -r "$1/requirements.txt" >&2 && touch "$1/venv/installed"
}

# cargo_binary FOLDER CRATE VERSION FEATURES RUST: builds a program into FOLDER/bin as its own lock file says, unless that
# was done or Rust is older than 1.RUST: then what needs it is skipped, and says so.
cargo_binary() {
  local minor
  minor=$(cargo --version | cut -d. -f2)
  [ "$(cat "$1/version" 2>/dev/null)" = "$3" ] && return
  [ "$minor" -ge "$5" ] || { echo "$2 $3 needs Rust 1.$5 or newer: its tests are skipped" >&2; return; }
  cargo install --quiet --locked --debug "$2" --version "$3" --features "$4" --root "$1" >&2 && echo "$3" >"$1/version"
}

command -v cargo >/dev/null 2>&1 || { echo "cargo is missing: install a Rust toolchain (1.89 or newer) first" >&2; exit 2; }
