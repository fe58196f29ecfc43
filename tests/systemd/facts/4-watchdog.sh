# Sourced by tests/systemd/run: a role that hangs in mid-transfer is started again, and nothing is lost; who still has a file open
# for writing keeps it from being sealed.

for role in receive control inspect deliver lease; do
  zone mkdir -p "/run/systemd/system/sluse-$role.service.d"
  zone sh -c "printf '[Service]\nWatchdogSec=3\n' >/run/systemd/system/sluse-$role.service.d/soon.conf"
done
zone systemctl daemon-reload
zone systemctl restart sluse-{control,receive,inspect,deliver,lease}.service
eventually zone sluse health
# Slow enough to be stopped on the way.
printf '\n[network]\nmax_bytes_per_second = 8000000\n' >>"$work/identity/identity.toml"

held() {
  local chunk=/var/lib/sluse/quarantine/incoming/*/0000000.age
  extract held 48
  send held >"$work/sent" 2>&1 &
  local sending=$!
  eventually zone sh -c "ls $chunk"
  # As sluse-receive, had it been broken into: open for as long as the file beside it is there.
  zone setpriv --reuid=sluse-receive --regid=sluse-receive --init-groups sh -c \
    "exec 9>>\$(ls $chunk); touch /tmp/holds; while [ -e /tmp/holds ]; do sleep 0.1; done" &
  local holding=$!
  eventually zone test -e /tmp/holds
  eventually zone sh -c 'journalctl --namespace=sluse -q -o cat SLUSE_ROLE=inspect SLUSE_CODE=unavailable | grep "was not taken over"'
  eventually zone sh -c "ls $chunk"
  zone rm /tmp/holds
  wait "$holding" || return 1
  wait "$sending" || { cat "$work/sent"; return 1; }
}
fact 'a file that somebody can still write to is not sealed, and is when nobody can' held
fact 'and is delivered whole' same_in_room held

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
for role in receive control inspect deliver lease; do
  fact "$role hangs in mid-transfer, is started again, and the transfer is delivered" hang "$role"
  fact 'whole' same_in_room "hang-$role"
done
zone rm -r /run/systemd/system/sluse-{receive,control,inspect,deliver,lease}.service.d
zone systemctl daemon-reload
fact 'the log is still whole' zone sluse audit verify
