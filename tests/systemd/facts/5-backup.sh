# Sourced by tests/systemd/run: an installed zone, whose keys are encrypted for its host, is backed up, lost, and restored.

age-keygen -o "$work/backup.key" 2>/dev/null
recipient=$(sed -n 's/^# public key: //p' "$work/backup.key")
put "$work/backup.key" /root/backup.key
zone sh -c 'chmod 600 /root/backup.key; cp /var/lib/sluse/trust/allowed_signers /root/kept_signers'

inventory_knows_the_keys() {
  zone sluse zone inventory --json >"$work/inventory" &&
    [ "$(grep -o '/var/lib/sluse/credentials/[a-z]*\.key' "$work/inventory" | sort -u | wc -l)" = 6 ]
}
fact 'the inventory names each key where it lies encrypted' inventory_knows_the_keys
fact 'a backup is made while the zone runs' zone sluse zone backup /root/midt.age --to "$recipient"
as_kari() { zone setpriv --reuid=kari --regid=kari --init-groups "$@"; }
kari_cannot() {
  ! as_kari sluse zone backup /tmp/kari.age --to "$recipient" 2>"$work/kari" &&
    grep 'run this as root' "$work/kari" && ! zone test -e /tmp/kari.age
}
fact 'by an operator who is not root, none is' kari_cannot
extract later 4
fact 'the zone goes on' send later

zone systemctl stop sluse.target sluse-{receive,control,inspect,deliver}.service sluse-receive.socket
zone mv /var/lib/sluse /var/lib/lost
restore() {
  zone sluse zone restore /root/midt.age /var/lib/sluse --identity /root/backup.key --signer /root/kept_signers \
    --rooms /var/lib/lost/rooms
}
restored_names_what_is_newer() {
  restore >"$work/restored" 2>&1 && grep 'newer than the backup: .* was delivered' "$work/restored" || { cat "$work/restored"; return 1; }
}
fact 'the zone is restored and what is newer is named' restored_names_what_is_newer
fact 'and that revoking must be done again' grep -q 'revoke again each source and agreement' "$work/restored"
fact 'its keys are encrypted for the host again' zone sluse-setup --encrypt
fact 'and lie in the clear no more' no_key_in_the_clear
fact 'the check finds nothing' zone sluse zone check
zone cp -a /var/lib/lost/rooms/. /var/lib/sluse/rooms/
zone systemctl start sluse.target
eventually zone sluse health
proves_its_history() { zone sh -c 'sluse audit verify --receipt /var/lib/sluse/rooms/hjerte/first/*.receipts/delivered.json'; }
fact 'the restored zone proves its history' proves_its_history
reconciled() {
  ! zone sluse register reconcile >"$work/differences" && grep -q 'later/.* stands there' "$work/differences"
}
fact 'the register names what was disclosed since the backup' reconciled
extract after 4
fact 'and its source sends as before' send after
zone rm -r /var/lib/lost /root/midt.age /root/backup.key
