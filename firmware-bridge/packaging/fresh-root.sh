#!/bin/sh
# Installs the Debian package into a fresh Debian 12 and uses it there: pkg-config and gcc, the static
# library, the Python file, the systemd unit. Needs root, debootstrap, unshare and a mirror; changes nothing
# outside ROOT.
#
#   fresh-root.sh DEB PACKAGE LIBONNXRUNTIME ROOT
set -eu
deb=$1 package=$2 library=$3 root=$4

[ -e "$root/etc/debian_version" ] || debootstrap --variant=minbase bookworm "$root"
mkdir -p "$root/srv"
rm -rf "$root/srv/package"
cp "$deb" "$root/srv/libechocart.deb"
cp -r "$package" "$root/srv/package"
cp "$library" "$root/srv/"

inside() {
    unshare --mount --pid --fork --mount-proc="$root/proc" \
        chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        LIBRARY="/srv/$(basename "$library")" "$@"
}

inside apt-get update -q
inside apt-get install -q -y -o Dpkg::Use-Pty=0 --no-install-recommends \
    /srv/libechocart.deb gcc libc6-dev pkg-config python3 systemd

inside sh -eu <<'END'
cd /srv
share=/usr/share/echocart
frames=package/golden.heart1.frames
cc -std=c11 -Wall -Wextra -Werror $share/examples/minimal.c $(pkg-config --cflags --libs echocart) -o minimal
echo "shared: $(ldd ./minimal | grep echocart)"
./minimal $frames package "$LIBRARY" > shared.txt
cat shared.txt
cc -std=c11 $share/examples/minimal.c $(pkg-config --cflags echocart) -Wl,-Bstatic -lechocart -Wl,-Bdynamic \
    -lgcc_s -lm -ldl -lpthread -o minimal-static
ln -sf "$(pkg-config --variable=worker echocart)" echocart-worker
./minimal-static $frames package "$LIBRARY" > static.txt
cmp shared.txt static.txt
echo "static: the same lines"
PYTHONPATH=$share/python python3 -B $share/examples/estimate.py package "$LIBRARY" > python.txt
cat python.txt
estimates=$(sed -n 's/ estimates$//p' python.txt)
[ "$estimates" -gt 3 ]
# The unit's program is not part of the package; only the unit is looked at.
[ -e /usr/bin/echocart ] || ln -s /bin/true /usr/bin/echocart
cp $share/examples/echocart-run.service /etc/systemd/system/
systemd-analyze verify --man=no /etc/systemd/system/echocart-run.service
echo "unit: systemd $(systemd-analyze --version | head -n 1 | cut -d' ' -f2) finds nothing wrong"
apt-get purge -q -y -o Dpkg::Use-Pty=0 libechocart > /dev/null
if find / -xdev -name '*echocart*' -not -path '/srv/*' -not -path '/etc/systemd/*' -not -path /usr/bin/echocart \
    | grep .; then
    echo "left behind after purge" >&2
    exit 1
fi
echo "purge: nothing left"
END
