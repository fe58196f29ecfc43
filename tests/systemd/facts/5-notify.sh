# Sourced by tests/systemd/run: who mails alerts, with nothing of the zone but codes and numbers. The relay is on the other host.

mails=$work/mails
from_source /usr/bin/python3 -m aiosmtpd -n -l fd00:51::2:2525 -c aiosmtpd.handlers.Mailbox "$mails" >/dev/null 2>&1 &
relay=$!
fact 'nobody mails before somebody says whom' zone sh -c '! systemctl is-enabled sluse-notify && ! systemctl is-active sluse-notify'
zone sh -c 'cat >>/var/lib/sluse/sluse.toml' <<'END'

[notify]
relay = "[fd00:51::2]:2525"
from = "sluse@zone.example"
to = ["drift@sykehus.example"]
tls = "none"
END
fact 'its unit starts' zone systemctl enable --quiet --now sluse-notify.service
mailed() { eventually grep -rqs "$1" "$mails/new"; }
zone systemctl stop sluse-deliver.service
fact 'a role that is missing is mailed' mailed 'problem  role-missing'
zone systemctl start sluse-deliver.service
fact 'and that it is there again' mailed 'ended    role-missing'
nothing_of_the_zone() {
  local pid root
  pid=$(zone systemctl show -P MainPID sluse-notify)
  root=/proc/$pid/root
  zone grep -q "^Uid:.$(zone id -u sluse-notify)" "/proc/$pid/status"
  for set in CapPrm CapEff CapBnd; do zone grep -q "^$set:.0*\$" "/proc/$pid/status"; done
  [ "$(zone sh -c "find $root/var/lib/sluse -mindepth 1 ! -path '*/authorities*' -printf '%P\n' | sort | tr '\n' ' '")" = 'run run/alerts run/alerts/alerts.sock sluse.toml ' ]
}
fact 'whoever mails has the configuration, one socket, and nothing else of the zone' nothing_of_the_zone
fact 'and goes on when it is killed' zone sh -c 'before=$(systemctl show -P MainPID sluse-notify); kill -KILL "$before"; for _ in $(seq 100); do sleep 0.1; [ "$(systemctl is-active sluse-notify)" = active ] && [ "$(systemctl show -P MainPID sluse-notify)" != "$before" ] && exit 0; done; exit 1'
zone systemctl disable --quiet --now sluse-notify.service
kill "$relay"
wait "$relay" || true
