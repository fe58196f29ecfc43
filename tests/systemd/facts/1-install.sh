# Sourced by tests/systemd/run: from a bare host to a running zone.

package=$(packaging/deb "$binaries" "$work" 0.1.0)
put() { zone sh -c "cat >'$2'" <"$1"; }

put "$package" /root/sluse.deb
fact 'the package installs' zone dpkg -i /root/sluse.deb
fact 'and starts nothing' zone sh -c '! systemctl is-active sluse.target sluse-control.service sluse-watch.service'
fact 'its manual pages and completions are there' zone test -e /usr/share/man/man1/sluse-send.1.gz -a \
  -e /usr/share/man/man8/slused.8.gz -a -e /usr/share/bash-completion/completions/sluse.bash
fact 'so are its pages, why it is as it is, and the verifier' zone test -e /usr/share/doc/sluse/hardening.md -a \
  -e /usr/share/doc/sluse/decisions/0002-losing-write-access.md -a -x /usr/share/doc/sluse/check.py
fact 'its configuration is known to dpkg' zone sh -c "dpkg-query -W -f '\${Conffiles}' sluse | grep -q /etc/sluse/watch.toml"
fact 'started without a zone, nothing fails' zone sh -c 'systemctl start sluse.target && ! systemctl --failed | grep -q sluse'
zone systemctl stop sluse.target

zone mkdir /root/safe
fact 'a zone is made' zone sluse-setup --name midt --advertise '[fd00:51::1]:7443' --keys-to /root/safe
fact 'no zone is made over it' zone sh -c '! sluse-setup --name other --advertise zone:7443'
no_key_in_the_clear() {
  # A line of each key: seeds, PEM, age identities.
  zone sh -c 'for key in /root/safe/*/*.key; do grep -v "^[#-]" "$key" | head -n 1; done >/root/lines; test "$(wc -l </root/lines)" = 6
    find / -xdev -type f ! -path "/root/*" ! -path "/proc/*" -print0 | xargs -0 grep -lFf /root/lines; test $? = 123'
}
fact 'no private key is to be found on the disk' no_key_in_the_clear
fact 'the check knows that the keys are encrypted' zone sluse zone check
zone cp -p /root/safe/control/signing.key /var/lib/sluse/control/
fact 'and complains of one in the clear' zone sh -c '! sluse zone check >/root/said; grep "signing.key lies there in the clear" /root/said'
zone rm /var/lib/sluse/control/signing.key

# As on another host: the zone from the backup, its keys from the safe.
restored() {
  zone rm -r /var/lib/sluse/credentials
  for role in control receive inspect deliver; do
    zone sh -c "cp /root/safe/$role/*.key /var/lib/sluse/$role/ && chown sluse-$role: /var/lib/sluse/$role/*.key && chmod 600 /var/lib/sluse/$role/*.key"
  done
  zone sluse zone check
  zone sluse-setup --encrypt
}
fact 'keys from the safe are encrypted for a new host' restored
fact 'and lie in the clear no more' no_key_in_the_clear

zone systemctl enable -q --now sluse.target
eventually zone sluse health
fact 'the roles run' zone systemctl is-active sluse.target sluse-receive.socket sluse-{control,receive,inspect,deliver}.service
exposed() {
  for unit in receive:3 control:3 deliver:3 inspect:3 lease:4; do
    zone systemd-analyze security --no-pager --threshold="${unit#*:}" "sluse-${unit%:*}.service"
  done
}
fact 'as little exposed as their files say' exposed
confined() {
  for role in control receive inspect deliver; do
    local pid
    pid=$(zone systemctl show -P MainPID "sluse-$role")
    zone grep -q "^Uid:.$(zone id -u "sluse-$role")" "/proc/$pid/status"
    zone grep -q '^NoNewPrivs:.1$' "/proc/$pid/status"
    # The unit's filters, and the role's own.
    [ "$(zone sed -n 's/^Seccomp_filters:.//p' "/proc/$pid/status")" -gt 10 ]
    zone grep -q '^CapPrm:.0*$' "/proc/$pid/status"
  done
}
fact 'each as its user, confined from outside and from inside' confined
