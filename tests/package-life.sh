#!/usr/bin/env bash
# A package's life on a copy of this machine that only this script sees: installed, installed again over a queue and an
# edited configuration, removed, purged. Without a running systemd: what it starts and stops is not seen here.
# Each line must hold. For root, from the root of the project: `unshare --mount bash tests/package-life.sh FILE.deb`.
set -euo pipefail
copy=$PWD/target/package/copy
mkdir -p "$copy"
mount -t tmpfs none "$copy"
mkdir "$copy"/{changes,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$copy/changes,workdir=$copy/work" "$copy/root"
mount --bind /proc "$copy/root/proc"
mount --bind /dev "$copy/root/dev"
cp "$1" "$copy/root/root/ferryd.deb"

exec chroot "$copy/root" bash -euc '
  # What it depends on (the system bus) may be missing here.
  install() { dpkg --force-depends -i /root/ferryd.deb >/root/log 2>&1 || { cat /root/log; exit 1; }; }
  enabled=/etc/systemd/system/multi-user.target.wants/ferryd.service

  install
  [ "$(getent passwd ferryd | cut -d: -f6,7)" = /var/lib/ferryd:/usr/sbin/nologin ]
  [ -L "$enabled" ]
  man -w ferryd ferryctl ferryctl-list ferryd.toml >/dev/null
  [ -z "$(systemd-analyze verify ferryd.service 2>&1)" ]
  ferryd --version
  ferryctl --version
  systemd-tmpfiles --create ferryd.conf
  [ "$(stat -c %U:%a /var/lib/ferryd)" = ferryd:700 ]

  touch /var/lib/ferryd/ferry.db
  echo "# mine" >>/etc/ferryd/ferryd.toml
  install
  [ "$(tail -n 1 /etc/ferryd/ferryd.toml)" = "# mine" ]
  [ -e /var/lib/ferryd/ferry.db ]

  dpkg --remove ferryd >/dev/null
  [ -e /var/lib/ferryd/ferry.db ]
  [ -e /etc/ferryd/ferryd.toml ]
  [ ! -e /usr/bin/ferryd ]

  dpkg --purge ferryd >/dev/null
  [ ! -e /var/lib/ferryd ]
  [ ! -e /etc/ferryd ]
  [ ! -L "$enabled" ]
  echo "installed, upgraded, removed and purged"
'
