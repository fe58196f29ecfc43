# Sourced by tests/systemd/run: what sites have otherwise, as docs/operations.md and docs/source-host.md say.

zone mkdir -p /srv/rooms/hjerte /run/systemd/system/sluse-deliver.service.d
zone sh -c 'chown -R sluse-deliver: /srv/rooms && chmod 750 /srv/rooms
  printf "[Service]\nBindPaths=/srv/rooms\n" >/run/systemd/system/sluse-deliver.service.d/rooms.conf
  cp -p /var/lib/sluse/sluse.toml /root/sluse.toml
  sed -i "s#^\# rooms = .*#rooms = \"/srv/rooms\"#" /var/lib/sluse/sluse.toml
  systemctl daemon-reload && systemctl restart sluse-control sluse-deliver'
eventually zone sluse health
extract elsewhere 4
fact 'rooms may lie on another file system' send elsewhere
fact 'and are delivered to there' zone sh -c 'cmp /srv/rooms/hjerte/elsewhere/*/data/elsewhere.txt -' <"$work/extracts/elsewhere.txt"
zone sh -c 'cp -p /root/sluse.toml /var/lib/sluse/ && rm -r /run/systemd/system/sluse-deliver.service.d
  systemctl daemon-reload && systemctl restart sluse-control sluse-deliver'
eventually zone sluse health

# A watcher, on the same host for once.
sed 's/^id = .*/id = "lab-nightly"/; s/^from = .*/from = "lab"/' "$work/agreement.toml" >"$work/lab.toml"
put "$work/lab.toml" /root/lab.toml
zone sh -c 'sluse agreement add /root/lab.toml && sluse source invite lab --out /root/lab-invite.toml
  sluse enroll /root/lab-invite.toml --identity /etc/sluse/identity && chown -R sluse-watch: /etc/sluse/identity
  mkdir -p /srv/extracts/lab /run/systemd/system/sluse-watch.service.d && chown sluse-watch: /srv/extracts/lab
  printf "[Service]\nReadWritePaths=/srv/extracts/lab\n" >/run/systemd/system/sluse-watch.service.d/outboxes.conf
  systemctl daemon-reload && systemctl start sluse-watch' >"$work/said" 2>&1 || { cat "$work/said"; fail 'a watcher is set up'; }
fact 'the watcher runs by its unit' zone systemctl is-active sluse-watch.service
zone sh -c '{ echo pseudonym; seq 1000; } >/srv/extracts/lab/lab.csv && touch /srv/extracts/lab/lab.csv.done'
eventually zone sh -c 'ls /var/lib/sluse/rooms/hjerte/lab.csv/*/data/lab.csv'
fact 'and sends what is put into its outbox' zone sh -c 'cmp /var/lib/sluse/rooms/hjerte/lab.csv/*/data/lab.csv - <<END
pseudonym
$(seq 1000)
END'
zone systemctl stop sluse-watch.service
