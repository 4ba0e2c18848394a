#!/usr/bin/env bash
# All tests. Arguments go to `cargo test` (e.g. `bash tests/all.sh --test link`).
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/setup.sh
need gcc gcc strace strace dbus-daemon dbus-daemon ip iproute2 nft nftables busctl systemd unshare util-linux \
  /usr/bin/python3 python3 /usr/lib/python3/dist-packages/gi python3-gi \
  mkfs.xfs xfsprogs filefrag e2fsprogs losetup mount \
  xmllint libxml2-utils /usr/share/polkit-1/policyconfig-1.dtd polkitd \
  /lib/systemd/system/dbus.socket dbus-system-bus-common /usr/lib/systemd/user/dbus.socket dbus-user-session \
  convert imagemagick exiftool libimage-exiftool-perl djpeg libjpeg-turbo-progs \
  /usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg lomiri-wallpapers-20.04 \
  curl curl node nodejs npm npm /usr/share/doc/python3-venv python3-venv \
  faketime faketime pkg-config pkg-config /usr/include/systemd/sd-bus.h libsystemd-dev
npm_folder tests/servers/tus-clients
python_folder tests/servers/tus-clients
npm_folder tests/servers/tus
python_folder tests/servers/moto
npm_folder tests/servers/s3rver
cargo_binary tests/servers/s3s s3s-fs 0.14.1 binary 92
npm_folder examples
python_folder examples
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
# One line for the whole run: cargo prints one a binary.
awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$log"
exit "$status"
