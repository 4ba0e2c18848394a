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

command -v cargo >/dev/null 2>&1 || { echo "cargo is missing: install a Rust toolchain (1.89 or newer) first" >&2; exit 2; }
