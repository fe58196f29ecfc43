# Sourced by tests/systemd/run: a role that hangs in mid-transfer is started again, and nothing is lost.

for role in receive control inspect deliver; do
  zone mkdir -p "/run/systemd/system/sluse-$role.service.d"
  zone sh -c "printf '[Service]\nWatchdogSec=3\n' >/run/systemd/system/sluse-$role.service.d/soon.conf"
done
zone systemctl daemon-reload
zone systemctl restart sluse-{control,receive,inspect,deliver}.service
eventually zone sluse health
# Slow enough to be stopped on the way.
printf '\n[network]\nmax_bytes_per_second = 8000000\n' >>"$work/identity/identity.toml"

state_is() { zone sluse transfers --state "$1" | grep -q "$1"; }
hang() {
  local role=$1 before pid
  extract "hang-$role" 48
  before=$(zone systemctl show -P NRestarts "sluse-$role")
  send "hang-$role" >"$work/sent" 2>&1 &
  local sending=$!
  eventually state_is receiving
  pid=$(zone systemctl show -P MainPID "sluse-$role")
  zone sh -c "kill -STOP $pid"
  wait "$sending" || { cat "$work/sent"; return 1; }
  [ "$(zone systemctl show -P NRestarts "sluse-$role")" -gt "$before" ]
  zone journalctl --no-pager -q -u "sluse-$role" | grep "Watchdog timeout"
}
for role in receive control inspect deliver; do
  fact "$role hangs in mid-transfer, is started again, and the transfer is delivered" hang "$role"
  fact 'whole' same_in_room "hang-$role"
done
zone rm -r /run/systemd/system/sluse-{receive,control,inspect,deliver}.service.d
zone systemctl daemon-reload
fact 'the log is still whole' zone sluse audit verify
