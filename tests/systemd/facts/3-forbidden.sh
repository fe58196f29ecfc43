# Sourced by tests/systemd/run: what each unit forbids its role, attempted in the role's place.

put tests/systemd/probe.py /root/probe.py
fact 'outside of the units every attempt succeeds' zone python3 /root/probe.py root

# Starts the unit with the probe as its program: the same user, root, networks, filters.
probe() {
  local unit=sluse-$1.service
  zone mkdir -p "/run/systemd/system/$unit.d" /run/probe
  zone cp /root/probe.py /run/probe/
  zone sh -c "cat >/run/systemd/system/$unit.d/probe.conf" <<END
[Service]
Type=oneshot
ExecStart=
ExecStart=/usr/bin/python3 /run/probe/probe.py $1
Restart=no
WatchdogSec=0
StandardOutput=file:/run/probe-$1
StandardError=file:/run/probe-$1
BindReadOnlyPaths=/usr/bin/python3 /usr/lib /run/probe
ExecPaths=/usr/bin /usr/lib
END
  zone systemctl daemon-reload
  local ended=0
  zone systemctl restart "$unit" || ended=$?
  zone cat "/run/probe-$1"
  zone rm -r "/run/systemd/system/$unit.d"
  zone systemctl daemon-reload
  zone systemctl start "$unit"
  return "$ended"
}
for role in receive control inspect deliver lease; do
  fact "$role can do what it must and nothing else" probe "$role"
done
eventually zone sluse health
