# Sourced by image/build: the disk, with the first of two places filled. The rest of the disk that it is written to becomes the state
# partition at the first start (image/root/usr/lib/sluse/open-state).
# shellcheck shell=bash disable=SC2154,SC2034

# In MiB: the loader's partition holds two kernel images and one that is being written; a root may grow to more than twice what it is.
esp_size=256 root_size=512 verity_size=8

# `make_disk NAME`: NAME.raw of NAME.root, NAME.verity and NAME.efi.
make_disk() {
  local disk=$1.raw mib=$((1024 * 1024)) at
  (($(stat -c %s "$1.root") <= root_size * mib && $(stat -c %s "$1.verity") <= verity_size * mib))
  make_esp "$1.efi" "$work/esp"
  rm -f "$disk"
  truncate -s $(((esp_size + 2 * (root_size + verity_size) + 2) * mib)) "$disk"
  # A root's two partitions have the halves of its hash as their UUIDs, which is how the initrd finds them.
  sfdisk --quiet "$disk" <<END
label: gpt
label-id: $(uuid_of 'sluse disk')
unit: sectors
first-lba: 2048
size=${esp_size}MiB, type=uefi, name=esp, uuid=$(uuid_of 'sluse esp')
size=${root_size}MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=sluse_$version, uuid=$(hash_uuid "${root_hash:0:32}")
size=${verity_size}MiB, type=2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5, name=sluse_${version}_verity, uuid=$(hash_uuid "${root_hash:32}")
size=${root_size}MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=_empty, uuid=$(uuid_of 'sluse second root')
size=${verity_size}MiB, type=2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5, name=_empty, uuid=$(uuid_of 'sluse second verity')
END
  at=1
  for part in "$work/esp:$esp_size" "$1.root:$root_size" "$1.verity:$verity_size"; do
    dd if="${part%:*}" of="$disk" bs=1M seek=$at conv=notrunc,sparse status=none
    at=$((at + ${part##*:}))
  done
}

# `make_esp KERNEL_IMAGE FILE`
make_esp() {
  truncate -s "${esp_size}M" "$2"
  printf 'timeout 0\neditor no\nauto-entries no\nauto-firmware no\n' >"$work/loader.conf"
  dated mkfs.vfat -F 32 --invariant -i "$(sha256sum <<<"sluse esp" | cut -c 1-8)" -n SLUSE-ESP "$2" >/dev/null
  export MTOOLS_SKIP_CHECK=1
  dated mmd -i "$2" ::EFI ::EFI/BOOT ::EFI/Linux ::loader
  dated mcopy -i "$2" "$work/loader.efi" ::EFI/BOOT/BOOTX64.EFI
  dated mcopy -i "$2" "$1" "::EFI/Linux/sluse_$version.efi"
  dated mcopy -i "$2" "$work/loader.conf" ::loader/loader.conf
}

hash_uuid() { sed -E 's/(.{8})(.{4})(.{4})(.{4})(.{12})/\1-\2-\3-\4-\5/' <<<"$1"; }
