# Sourced by tests/systemd/run: the gateway's two units as docs/gateway.md says, on the zone's host for once; an SFTP client on another.

sed 's/^id = .*/id = "gateway"/; s/^from = .*/from = "gateway"/' "$work/agreement.toml" >"$work/gateway-agreement.toml"
put "$work/gateway-agreement.toml" /root/gateway-agreement.toml
ssh-keygen -q -t ed25519 -N '' -C client -f "$work/client"
cat >"$work/gateway.toml" <<END
[gateway]
spool = "/var/lib/sluse-gateway"
public_key = "/etc/sluse/gateway/spool.pub"
private_key = "/etc/sluse/gateway/spool.key"
identity = "/etc/sluse/gateway/identity"
keep_free_bytes = 0

[flow.lab]
agreement = "gateway"

[sftp]
listen = "[::]:2222"
host_key = "/etc/sluse/gateway/host.key"
inbox_key = "/etc/sluse/gateway/inbox.key"

[inbox.lims]
flow = "lab"
keys = ["$(cat "$work/client.pub")"]
peers = ["fd00:51::/64"]
complete = "rename"
END
zone install -d -m 0750 -g sluse-gateway /etc/sluse/gateway
put "$work/gateway.toml" /etc/sluse/gateway/gateway.toml
set_up() {
  zone sh -e -c 'cd /etc/sluse/gateway
    chgrp sluse-gateway gateway.toml && chmod 640 gateway.toml
    sluse-gateway keys --config gateway.toml
    chown sluse-forward spool.key
    chown sluse-intake host.key inbox.key
    sluse agreement add /root/gateway-agreement.toml
    sluse source invite gateway --out /root/gateway-invite.toml
    sluse enroll /root/gateway-invite.toml --identity identity && chown -R sluse-forward identity
    sluse gateway --config /etc/sluse/gateway/gateway.toml --check
    systemctl enable -q --now sluse-gateway-intake sluse-gateway-forward'
}
fact 'a gateway is set up as its page says' set_up
both_run() { zone systemctl is-active sluse-gateway-intake.service sluse-gateway-forward.service; }
fact 'and its units run' both_run
gateway_confined() {
  local pid
  for process in intake forward; do
    pid=$(zone systemctl show -P MainPID "sluse-gateway-$process")
    zone grep -q "^Uid:.$(zone id -u "sluse-$process")" "/proc/$pid/status"
    zone grep -q '^NoNewPrivs:.1$' "/proc/$pid/status"
    zone grep -q '^CapPrm:.0*$' "/proc/$pid/status"
    [ "$(zone sed -n 's/^Seccomp_filters:.//p' "/proc/$pid/status")" -gt 5 ]
  done
}
fact 'as users of their own, without capabilities, with a list of calls' gateway_confined
keys_apart() {
  local pid
  # Even root sees nothing there from within the unit.
  pid=$(zone systemctl show -P MainPID sluse-gateway-intake)
  [ "$(zone nsenter -t "$pid" -m sh -c 'cat /etc/sluse/gateway/spool.key /etc/sluse/gateway/identity/*.key 2>/dev/null' | wc -c)" = 0 ]
  pid=$(zone systemctl show -P MainPID sluse-gateway-forward)
  [ "$(zone nsenter -t "$pid" -m sh -c 'cat /etc/sluse/gateway/host.key /etc/sluse/gateway/inbox.key 2>/dev/null' | wc -c)" = 0 ]
}
fact 'and neither has the keys of the other' keys_apart
extract handed 4
zone cat /etc/sluse/gateway/host.key >"$work/host.key"
chmod 600 "$work/host.key"
echo "[fd00:51::1]:2222 $(ssh-keygen -y -f "$work/host.key")" >"$work/known_hosts"
hand_over() {
  printf 'put %s handed.txt.part\nrename handed.txt.part handed.txt\n' "$work/extracts/handed.txt" |
    from_source sftp -b - -F none -i "$work/client" -o "UserKnownHostsFile=$work/known_hosts" -o BatchMode=yes -P 2222 'lims@[fd00:51::1]'
}
fact 'a client on another host puts a file into its inbox' hand_over
handed_over() { zone sh -c 'cmp /var/lib/sluse/rooms/hjerte/handed.txt/*/data/handed.txt -' <"$work/extracts/handed.txt"; }
eventually handed_over
fact 'which arrives in the room as it was' handed_over
fact 'and both units still run' both_run
zone systemctl disable -q --now sluse-gateway-intake sluse-gateway-forward
# Its certificate would keep the authority of before alive in what follows.
fact 'its source is revoked when it is taken down' zone sluse source revoke gateway --reason 'the gateway was taken down'
