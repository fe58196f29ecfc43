# Sourced by image/build: the initrd, and the one file that the firmware starts.
# shellcheck shell=bash disable=SC2154,SC2034

initrd_programs=(bash mount switch_root chroot kmod veritysetup blkid sleep cat find xargs)
# What a disk may hang on, and what its root is read with.
initrd_modules=(erofs dm_verity sd_mod ahci ata_piix nvme virtio_pci virtio_blk virtio_scsi megaraid_sas mpt3sas smartpqi hpsa aacraid
  vmw_pvscsi hv_storvsc xen_blkfront crc32c_generic sha256_generic)

# `make_initrd TREE FILE`: of the root's own programs and libraries.
make_initrd() {
  local tree=$1 into=$work/initrd.d kernel module library
  kernel=$(ls "$tree/lib/modules")
  mkdir -p "$into"/{dev,proc,sys,run,root,etc,usr/{bin,lib64}} "$into/lib/modules/$kernel"
  ln -s usr/bin "$into/bin"
  ln -s usr/bin "$into/sbin"
  ln -s usr/lib64 "$into/lib64"
  for program in "${initrd_programs[@]}"; do
    local found
    found=$(chroot "$tree" /bin/bash -c "PATH=/usr/sbin:/usr/bin:/sbin:/bin; type -P $program")
    install -D -m 0755 "$tree$found" "$into/usr/bin/$program"
    # Each library lies where the program looks for it.
    for library in $(chroot "$tree" ldd "$found" | grep -o '/[^ ]*'); do install -D -m 0755 "$tree$library" "$into$library"; done
  done
  ln -s kmod "$into/usr/bin/modprobe"
  for module in "${initrd_modules[@]}"; do
    modprobe -d "$tree" -S "$kernel" --show-depends "$module"
  done | sed -n 's/^insmod //p' | sort -u | while read -r module; do install -D -m 0644 "$module" "$into/${module#"$tree"/}"; done
  cp "$tree/lib/modules/$kernel"/modules.{order,builtin,builtin.modinfo} "$into/lib/modules/$kernel/"
  depmod -b "$into" "$kernel"
  install -m 0755 image/initrd/init "$into/init"
  find "$into" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  (cd "$into" && find . -mindepth 1 -printf '%P\0' | sort -z | cpio --quiet -0 -o -H newc --reproducible --owner 0:0) | zstd -q -19 >"$2"
}

# `make_kernel_image TREE INITRD FILE`: kernel, initrd and command line in one file, which is signed as a whole.
make_kernel_image() {
  local tree=$1 kernel
  kernel=$(ls "$tree/lib/modules")
  # The last console is the one that the system's own messages go to.
  printf 'roothash=%s console=tty0 console=ttyS0,115200 panic=30 lockdown=integrity module.sig_enforce=1' "$root_hash" >"$work/cmdline"
  printf '%s' "$kernel" >"$work/uname"
  dated objcopy --enable-deterministic-archives \
    --add-section .osrel="$tree/usr/lib/os-release" --change-section-vma .osrel=0x20000 \
    --add-section .cmdline="$work/cmdline" --change-section-vma .cmdline=0x30000 \
    --add-section .uname="$work/uname" --change-section-vma .uname=0x40000 \
    --add-section .linux="$work/vmlinuz" --change-section-vma .linux=0x2000000 \
    --add-section .initrd="$2" --change-section-vma .initrd=0x3000000 \
    "$tree/usr/lib/systemd/boot/efi/linuxx64.efi.stub" "$work/kernel.efi"
  signed "$work/kernel.efi" "$3"
  signed "$tree/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$work/loader.efi"
}

# `signed FILE OUTPUT`: signed where the site gave a key, and looked at again.
signed() {
  if [ -z "$key" ]; then cp "$1" "$2"; return; fi
  dated sbsign --key "$key" --cert "$certificate" --output "$2" "$1" 2>&1 | grep -v '^warning: data remaining\|^Signing Unsigned' >&2 || true
  sbverify --cert "$certificate" "$2" >/dev/null
}
