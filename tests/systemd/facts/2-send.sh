# Sourced by tests/systemd/run: a source on another host.

sluse=$binaries/sluse
sed 's/, "clamd"//' config/agreements/epic-nightly.toml >"$work/agreement.toml"
put "$work/agreement.toml" /root/agreement.toml
zone sluse room add hjerte --names posix
zone sluse agreement add /root/agreement.toml
zone sluse source invite epic --out /root/invite.toml
zone cat /root/invite.toml >"$work/invite.toml"

# `extract NAME MIB`: a text of so many MiB.
extract() {
  mkdir -p "$work/extracts"
  openssl rand -base64 $((3 * $2 * 1024 * 1024 / 4)) >"$work/extracts/$1.txt"
}
send() { from_source "$sluse" send "$work/extracts/$1.txt" --identity "$work/identity" --agreement hjerte-epic --dataset "$1" --wait delivered --wait-timeout 60s; }
same_in_room() {
  local bags
  bags=$(zone sh -c "ls -d /var/lib/sluse/rooms/hjerte/$1/*/data")
  [ "$(wc -l <<<"$bags")" = 1 ]
  [ "$(zone sha256sum "$bags/$1.txt" | cut -c 1-64)" = "$(sha256sum <"$work/extracts/$1.txt" | cut -c 1-64)" ]
}

zone systemctl stop sluse-receive.service
fact 'the socket stays when the role is stopped' zone systemctl is-active sluse-receive.socket
fact 'a source enrols from another host, whose first packet starts the role' from_source "$sluse" enroll "$work/invite.toml" --identity "$work/identity"
fact 'the role was started by its socket' zone systemctl is-active sluse-receive.service
extract first 20
fact 'what it sends is delivered' send first
fact 'and lies in the room as it was' same_in_room first
one_capability() {
  local pid
  pid=$(zone systemctl show -P MainPID sluse-lease)
  zone grep -q "^Uid:.$(zone id -u sluse-lease)" "/proc/$pid/status"
  # CAP_LEASE, and in no other set than those by which it may use it.
  for set in CapPrm CapEff CapBnd; do zone grep -q "^$set:.0000000010000000\$" "/proc/$pid/status"; done
  for set in CapInh CapAmb; do zone grep -q "^$set:.0*\$" "/proc/$pid/status"; done
  zone grep -q '^NoNewPrivs:.1$' "/proc/$pid/status"
}
fact 'who saw that nobody wrote was started by the question, and has one capability' one_capability
receipt_verifies() {
  zone sh -c 'cat /var/lib/sluse/rooms/hjerte/first/*.receipts/delivered.json' >"$work/delivered.json"
  zone sh -c 'cat /var/lib/sluse/rooms/hjerte/first/*.receipts/delivered.json.sig' >"$work/delivered.json.sig"
  zone cat /var/lib/sluse/trust/allowed_signers >"$work/signers"
  ssh-keygen -Y verify -f "$work/signers" -I midt -n sluse-receipt -s "$work/delivered.json.sig" <"$work/delivered.json"
}
fact 'its receipt verifies' receipt_verifies
fact 'the log is whole' zone sluse audit verify

monitored() {
  zone systemctl enable --quiet --now sluse-metrics.timer
  eventually zone grep -q 'sluse_transfers_entered_total{state="delivered",source="epic",agreement="hjerte-epic"} 1$' /var/lib/sluse-metrics/sluse.prom
  zone grep -q '^sluse_role_up{role="deliver"} 1$' /var/lib/sluse-metrics/sluse.prom
}
fact 'node_exporter finds its numbers' monitored

fields() {
  local id
  id=$(zone journalctl --namespace=sluse -o cat --output-fields=SLUSE_TRANSFER SLUSE_ROLE=deliver | grep -v '^-' | sort -u | grep -m1 .)
  for role in control receive inspect deliver; do
    [ -n "$(zone journalctl --namespace=sluse -q -o cat "SLUSE_TRANSFER=$id" "SLUSE_ROLE=$role")" ] || return 1
  done
}
fact 'the journal finds all roles by a transfer'"'"'s number' fields
fact 'and names no file' zone sh -c '! journalctl --namespace=sluse --no-pager | grep first.txt'

operator_by_group() {
  zone useradd --groups sluse-operators kari
  zone systemctl restart sluse-control.service
  eventually zone sluse health
  zone setpriv --reuid=kari --regid=kari --init-groups sluse health
  zone useradd ola
  ! zone setpriv --reuid=ola --regid=ola --init-groups sluse health
}
fact 'members of the group are operators, others are not' operator_by_group
