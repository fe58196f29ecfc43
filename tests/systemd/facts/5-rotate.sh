# Sourced by tests/systemd/run: every key of an installed zone is exchanged while it runs, the new ones encrypted by systemd-creds.

encrypted_keys() { zone sh -c 'cd /var/lib/sluse/credentials && sha256sum *.key' | sort; }
exchanged() { zone sluse zone rotate "$1" --keys-to /root/safe && eventually zone sluse health; }
sends_as_before() {
  cp "$work/extracts/turn.txt" "$work/extracts/with-$1.txt"
  send "with-$1" && same_in_room "with-$1"
}

extract turn 4
encrypted_keys >"$work/before"
for key in reset tls deliver quarantine signing ca; do
  fact "$key: the key is exchanged while the zone runs" exchanged "$key"
  fact "$key: its source sends as before" sends_as_before "$key"
done
for key in quarantine ca; do
  fact "$key: the old one is ended when nothing needs it any more" eventually zone sluse zone rotate "$key" --end-old
  fact "$key: its source sends as before" sends_as_before "no-old-$key"
done
encrypted_keys >"$work/afterwards"
each_is_another() { [ "$(wc -l <"$work/afterwards")" = 6 ] && [ -z "$(comm -12 "$work/before" "$work/afterwards")" ]; }
fact 'six keys lie there, each another one' each_is_another
fact 'none of the new ones lies in the clear but in the safe' no_key_in_the_clear
fact 'the check finds nothing' zone sluse zone check
proves_older_receipts() { zone sh -c 'sluse audit verify --receipt /var/lib/sluse/rooms/hjerte/after/*.receipts/delivered.json'; }
fact 'the log is whole, and proves a receipt of the key before' proves_older_receipts
no_other_differences() {
  ! zone sluse register reconcile >"$work/differences-now" && diff <(grep -v 'audit log of' "$work/differences") <(grep -v 'audit log of' "$work/differences-now")
}
fact 'register, log, receipts and rooms differ as they did before, and no more' no_other_differences
