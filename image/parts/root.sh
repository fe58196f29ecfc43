# Sourced by image/build: the appliance's root file system, as a tree of files, and its hash tree.
# shellcheck shell=bash disable=SC2154,SC2034

# Nothing that listens, logs in, or fetches; no apt, no dbus, no compiler. What each is for:
# cryptsetup-bin, e2fsprogs, fdisk, libtss2-*: the state partition; nftables, iproute2: the network; systemd-boot-efi: what the firmware starts;
# sbsigntool: whether it would start another version; libclamav12: for clamd, which comes by itself.
root_packages=(usr-is-merged systemd systemd-sysv udev systemd-timesyncd kmod cryptsetup-bin e2fsprogs fdisk nftables iproute2
  libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-rc0 libtss2-tcti-device0 systemd-boot-efi sbsigntool libclamav12)

# Drivers that a server may need; all others are left out.
root_modules=(arch/x86/{crypto,events,platform} block crypto lib mm security virt
  fs/{erofs,ext4,jbd2,fat,nls,mbcache.ko,autofs,efivarfs,fuse} net/{netfilter,ipv4,ipv6,core,packet,8021q,bridge,llc,802,sched,unix,vmw_vsock}
  drivers/{ata,nvme,md,block,scsi,virtio,vhost,acpi,char/{tpm,hw_random,ipmi},cdrom,cpufreq,dax,edac,firmware,hid,hv,hwmon,i2c,idle,input,message,misc,mmc,net,nvdimm,pci,platform,powercap,ptp,rtc,target,thermal,usb,vfio,video,watchdog,xen})
# … of network drivers those of cables.
root_modules_not=(drivers/net/{wireless,can,hamradio,wwan,usb,arcnet,fddi,ieee802154,plip,ppp,slip,wan,wireguard} drivers/{usb/{gadget,serial,misc,atm},misc/mei,hid/intel-ish-hid,scsi/{pcmcia,aic94xx}})

# `make_root TREE PACKAGE`
make_root() {
  local tree=$1
  # In a mount name space of its own: whatever ends it, none of its mounts stay.
  unshare --mount mmdebstrap --quiet --variant=essential --format=directory --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --include="$(IFS=,; echo "${root_packages[*]}")" \
    --customize-hook='image/parts/kernel "$1"' \
    --customize-hook='image/parts/clamd "$1"' \
    --customize-hook="cp '$2' \"\$1/sluse.deb\" && chroot \"\$1\" dpkg --install /sluse.deb && rm \"\$1/sluse.deb\"" \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$tree" "$sources" >&2
  dpkg-query --admindir="$tree/var/lib/dpkg" -W -f '${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n' |
    sort >"$name.packages"
  cp "$tree"/boot/vmlinuz-* "$work/vmlinuz"
  cp -r image/root/. "$tree/"
  chmod 0755 "$tree"/usr/lib/sluse/*
  prune_modules "$tree"
  settle "$tree"
  strip_down "$tree"
  packaging/bom image "$name.packages" "$tree" >"$name.cdx.json"
}

prune_modules() {
  local tree=$1 kernel part
  kernel=$(ls "$tree/lib/modules")
  local from=$tree/lib/modules/$kernel/kernel
  mv "$from" "$from.all"
  for part in "${root_modules[@]}"; do
    [ -e "$from.all/$part" ] || continue
    mkdir -p "$(dirname "$from/$part")"
    mv "$from.all/$part" "$from/$part"
  done
  rm -r "$from.all" "${root_modules_not[@]/#/$from/}"
  depmod -b "$tree" "$kernel"
}

# What is switched on, and what says who this is.
settle() {
  local tree=$1
  local units=$tree/etc/systemd/system
  chroot "$tree" systemd-sysusers sluse-clamd.conf
  cp "$tree/usr/share/systemd/tmp.mount" "$units/tmp.mount"
  for unit in getty@ serial-getty@ console-getty container-getty@ getty-static autovt@ debug-shell systemd-logind emergency rescue \
    systemd-firstboot systemd-machine-id-commit systemd-networkd-wait-online e2scrub_reap; do
    ln -sfn /dev/null "$units/$unit.service"
  done
  for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do rm -f "$units"/*.wants/$timer.timer; done
  systemctl --quiet --root="$tree" enable tmp.mount systemd-networkd.service systemd-timesyncd.service sluse.target sluse-site.service \
    sluse-console@ttyS0.service sluse-console@tty1.service sluse-trial.service sluse-clamd.path
  # Another one, of the state partition, is laid over it at each start.
  : >"$tree/etc/machine-id"
  echo sluse >"$tree/etc/hostname"
  printf '127.0.0.1 localhost sluse\n::1 localhost sluse\n' >"$tree/etc/hosts"
  : >"$tree/etc/fstab"
  sed -i "s/^PRETTY_NAME=.*/PRETTY_NAME=\"Sluse appliance $version\"/" "$tree/usr/lib/os-release"
  printf 'IMAGE_ID=sluse\nIMAGE_VERSION=%s\n' "$version" >>"$tree/usr/lib/os-release"
}

strip_down() {
  local tree=$1
  # Nobody can log in, and no program takes another's rights.
  ! grep -vE '^[^:]*:[*!]' "$tree/etc/shadow" >&2
  find "$tree" -xdev -type f -perm /6000 -exec chmod ug-s {} +
  # The state partition is laid over it; systemd-tmpfiles makes there what is missing.
  install -D -m 0644 "$tree/var/lib/dpkg/status" "$tree/usr/share/sluse/dpkg-status"
  find "$tree/var" "$tree/tmp" "$tree/run" "$tree/boot" "$tree/dev" -mindepth 1 -delete
  # Licences stay.
  find "$tree/usr/share/doc" -type f ! -name copyright ! -path '*/doc/sluse/*' -delete
  rm -rf "$tree"/usr/share/{man,info,locale,i18n,lintian,bash-completion,zsh,perl5} "$tree"/etc/{apt,*-,cron*,logrotate.d} \
    "$tree"/usr/lib/x86_64-linux-gnu/gconv "$tree"/vmlinuz* "$tree"/initrd* \
    "$tree"/usr/bin/{clamdtop,clamconf,sbsign,sbattach,sbkeysync,sbsiglist,sbvarsign} "$tree"/usr/sbin/clamonacc "$tree"/lib/systemd/system/clamav-* "$tree"/etc/init.d/clamav-daemon
  find "$tree/usr/share/doc" -xdev \( -type d -empty -o -xtype l \) -delete
}

# `make_verity TREE NAME`: NAME.root, NAME.verity, and $root_hash.
make_verity() {
  local salt
  salt=$(sha256sum <<<"sluse $version root" | cut -c 1-64)
  mkfs.erofs --quiet -zlz4hc -T"$SOURCE_DATE_EPOCH" -U "$(uuid_of "sluse $version root")" "$2.root" "$1"
  rm -f "$2.verity"
  root_hash=$(veritysetup format --salt="$salt" --uuid="$(uuid_of "sluse $version verity")" "$2.root" "$2.verity" | sed -n 's/^Root hash:[ \t]*//p')
  [ "${#root_hash}" = 64 ]
}
