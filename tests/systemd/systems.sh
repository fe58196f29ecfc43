# Sourced: two hosts on one wire. `zone` is a Debian with systemd as process 1, thrown away at the end; `source` is a network of this
# machine, for programs that send.

work= leader= nspawn= facts=0

# Whatever a fact's own output is kept from, this is shown.
exec 3>&2

fail() {
  echo "FAILED: $*" >&3
  [ -z "$leader" ] || zone sh -c 'sluse health; sluse transfers; journalctl --namespace=sluse --no-pager -n 40' >&3 2>&1 || true
  exit 1
}

# Says that something holds: `fact NAME COMMAND…`, which must succeed.
fact() {
  local name=$1
  shift
  "$@" >"$work/said" 2>&1 || { cat "$work/said" >&3; fail "$name"; }
  facts=$((facts + 1))
  echo "ok $facts - $name"
}

# Runs a command on the zone's host.
zone() { nsenter -t "$leader" -a env SLUSE_ZONE=/var/lib/sluse "$@"; }

# Runs a command on the source's host.
from_source() { ip netns exec "$net-source" "$@"; }

# Waits for a command to succeed.
eventually() {
  local deadline=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "never: $*"
    sleep 0.1
  done
}

systems_start() {
  [ "$(id -u)" = 0 ] || { echo 'Error: a system is started here, as root' >&2; exit 2; }
  install_tools
  local base=$1/systemd/debian
  mkdir -p "$1/systemd"
  [ -d "$base" ] || make_debian "$base"
  work=$(mktemp -d "$1/systemd/run.XXXXXX")
  net=sluse-$$
  trap systems_stop EXIT
  trap "exit 1" TERM INT
  make_wire
  mkdir "$work/upper" "$work/work" "$work/root"
  mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" "$work/root"
  boot
}

install_tools() {
  local missing=()
  for package in systemd-container mmdebstrap iproute2 nftables binutils openssh-client python3-aiosmtpd; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  ((${#missing[@]} == 0)) || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# From wherever this machine has its own packages.
make_debian() {
  echo 'making a minimal Debian' >&2
  local sources=/etc/apt/sources.list.d/debian.sources
  [ -e "$sources" ] || sources=/etc/apt/sources.list
  rm -rf "$1.part"
  mmdebstrap --quiet --variant=minbase --format=directory --include=systemd,systemd-sysv,dbus,python3 \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$1.part" "$sources"
  mv "$1.part" "$1"
}

make_wire() {
  ip netns add "$net-zone"
  ip netns add "$net-source"
  ip link add wire netns "$net-zone" type veth peer name wire netns "$net-source"
  for side in zone:1 source:2; do
    ip -n "$net-${side%:*}" link set lo up
    ip -n "$net-${side%:*}" address add "fd00:51::${side#*:}/64" dev wire nodad
    ip -n "$net-${side%:*}" link set wire up
  done
}

boot() {
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -q -D "$work/root" -b --network-namespace-path="/run/netns/$net-zone" \
    --register=no --keep-unit --console=pipe --hostname=zone \
    --capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON,CAP_IPC_LOCK \
    --system-call-filter='bpf @memlock memfd_secret landlock_create_ruleset landlock_add_rule landlock_restrict_self' \
    >"$work/console" 2>&1 </dev/null &
  nspawn=$!
  eventually pgrep -P "$nspawn"
  leader=$(pgrep -P "$nspawn")
  eventually sh -c "nsenter -t $leader -a systemctl is-system-running | grep -qE 'running|degraded'"
}

systems_stop() {
  if [ -n "$nspawn" ]; then
    kill -KILL "$leader" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
  fi
  ! mountpoint -q "$work/root" || umount "$work/root"
  ip netns del "$net-zone" 2>/dev/null || true
  ip netns del "$net-source" 2>/dev/null || true
  rm -rf "$work"
}
