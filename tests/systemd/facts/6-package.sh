# Sourced by tests/systemd/run: an upgrade keeps state, a removal keeps data, a purge destroys it only when told.

zone sh -c 'echo "# the site'"'"'s own" >>/etc/sluse/watch.toml; echo "# the site'"'"'s own" >>/var/lib/sluse/sluse.toml'
transfers() { zone sluse transfers --json; }
transfers >"$work/before"
pid=$(zone systemctl show -P MainPID sluse-control)
put "$(packaging/deb "$binaries" "$work" 0.1.0+1)" /root/newer.deb
fact 'an upgrade installs' zone dpkg -i --force-confold /root/newer.deb
eventually zone sluse health
fact 'what ran is the new program' test "$pid" != "$(zone systemctl show -P MainPID sluse-control)"
fact 'the site'"'"'s configuration stays' zone grep -q "the site's own" /etc/sluse/watch.toml /var/lib/sluse/sluse.toml
transfers >"$work/after"
fact 'and so do all transfers' cmp "$work/before" "$work/after"
extract upgraded 4
fact 'the source goes on as before' send upgraded

data() { zone sh -c 'find /var/lib/sluse -type f ! -path "*/control/*" ! -path "*/run/*" -exec sha256sum {} + | sort'; }
data >"$work/before"
fact 'a removal succeeds' zone dpkg --remove sluse
fact 'nothing of it runs' zone sh -c '! grep -h slused /proc/[0-9]*/comm && ! systemctl list-units --all --no-legend "sluse*" | grep -q running'
data >"$work/after"
fact 'all data is kept' cmp "$work/before" "$work/after"
fact 'installed again, it goes on' zone sh -c 'dpkg -i /root/newer.deb && systemctl enable -q --now sluse.target'
eventually zone sluse health
extract again 4
fact 'and delivers' send again
zone dpkg --remove sluse
purge_keeps() {
  zone dpkg --purge sluse 2>&1 | grep 'is kept'
  zone test -e /var/lib/sluse/control/state.db -a ! -e /etc/sluse/watch.toml
}
fact 'a purge keeps the zone and says so' purge_keeps
zone dpkg -i /root/newer.deb
fact 'told to, it destroys it' zone env SLUSE_PURGE=destroy-the-zone dpkg --purge sluse
fact 'wholly' zone sh -c '! ls /var/lib/sluse /var/log/journal/*.sluse'
