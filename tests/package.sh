#!/usr/bin/env bash
# Builds the Debian package and looks at it: `bash tests/package.sh`; what it leaves is target/debian/ferryd_*.deb.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/setup.sh
need dpkg-deb dpkg dpkg-shlibdeps dpkg-dev lintian lintian gcc gcc man man-db unshare util-linux systemd-tmpfiles systemd

# cargo-deb writes the archive and the scripts that enable and start units; pinned, and kept beside what is built.
version=3.8.0
tools=$PWD/target/cargo-deb-$version
[ -x "$tools/bin/cargo-deb" ] ||
  cargo install cargo-deb --locked --version "$version" --root "$tools" --quiet

# The same source gives the same package. To the daemon it is also the time before which a clock must be wrong.
SOURCE_DATE_EPOCH=$(date -d "$(sed -n 's/^ -- .*>  //p' packaging/debian/changelog | head -n 1)" +%s)
export SOURCE_DATE_EPOCH

cargo run --locked --quiet --no-default-features --example manuals -- target/package
rm -f target/debian/*.deb
"$tools/bin/cargo-deb" --locked --quiet
package=$(echo target/debian/ferryd_*.deb)
lintian --fail-on error --info --tag-display-limit 0 "$package"
echo "$package: $(stat -c %s "$package") bytes, $(dpkg-deb --contents "$package" | grep -c '^-') files"

if [ "$(id -u)" -eq 0 ]; then
  unshare --mount bash tests/package-life.sh "$package"
else
  echo "NOT RUN: installing, upgrading, removing and purging: only root can" >&2
fi
