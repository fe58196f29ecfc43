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

# An organisation with a certificate of its own. Its authority's files lie where the units have them by default.
outside=$work/outside
mkdir "$outside"
certify() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$outside/$1.key" "${@:2}" 2>/dev/null; }
authority() {
  certify "$1" -x509 -days 30 -subj '/C=NO/CN=Authority' -out "$outside/$1.pem"
  zone mkdir -p /var/lib/sluse/authorities
  put "$outside/$1.pem" /var/lib/sluse/authorities/new
  zone mv /var/lib/sluse/authorities/new /var/lib/sluse/authorities/outside.pem
}
issue() {
  certify "$2" -subj '/C=NO/serialNumber=983974899/CN=EDC' -out "$outside/$2.csr"
  openssl x509 -req -in "$outside/$2.csr" -CA "$outside/$1.pem" -CAkey "$outside/$1.key" -CAcreateserial -days 20 \
    -extfile <(echo 'extendedKeyUsage = clientAuth') -out "$outside/edc.pem" 2>/dev/null
  install -m 600 "$outside/$2.key" "$outside/edc.key"
}
authority first
issue first one
sed 's/^id = .*/id = "edc"/; s/^from = .*/from = "edc"/' "$work/agreement.toml" >"$work/edc.toml"
put "$work/edc.toml" /root/edc.toml
zone sh -c 'printf "\n[authority.outside]\ncertificates = \"authorities/outside.pem\"\n[authority.outside.source.edc]\norganisation = \"983974899\"\n" \
    >>/var/lib/sluse/sluse.toml
  systemctl restart sluse-control'
eventually zone sluse health
zone sh -c 'sluse agreement add /root/edc.toml && sluse source invite edc --out /root/edc-invite.toml'
zone cat /root/edc-invite.toml >"$work/edc-invite.toml"
fact 'the units see the files of an outside authority, whose certificate a source enrols with' \
  from_source "$sluse" enroll "$work/edc-invite.toml" --identity "$work/edc" --certificate "$outside/edc.pem" --key "$outside/edc.key"
by_certificate() { from_source "$sluse" send "$work/extracts/elsewhere.txt" --identity "$work/edc" --agreement edc --dataset "$1" --wait delivered --wait-timeout 60s; }
fact 'and sends with' by_certificate certified
# Another authority of that name: a file that takes the place of the first while the units run.
authority second
issue second two
fact 'and they see its files when they are replaced' eventually by_certificate replaced

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
