"""Updates as a site makes them on the outside, with `tar` and `ssh-keygen`; and versions of the appliance to put into them."""

import glob
import os
import re
import shutil
import subprocess

SECURE_BOOT_KEY = "/usr/share/ovmf/PkKek-1-snakeoil.key"
SECURE_BOOT_CERTIFICATE = "/usr/share/ovmf/PkKek-1-snakeoil.pem"


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, timeout=120, **options).stdout


class Maker:
    """Who signs updates, with a folder for the key and the bundles. The key stays from one part of the test to the next."""

    def __init__(self, folder):
        self.folder = folder
        self.key = os.path.join(folder, "update-key")
        if not os.path.exists(self.key):
            os.makedirs(folder)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)

    def give_key(self, machine):
        machine.on_medium("mcopy", "-o", self.key + ".pub", "::update-key.pub")

    def bundle(self, name, kind, number, files):
        """`files`: each one's name, and its bytes or the path of a file."""
        work = os.path.join(self.folder, name + ".d")
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        with open(os.path.join(work, "update.toml"), "w") as head:
            head.write(f'sluse = "update/1"\nkind = "{kind}"\nnumber = {number}\n')
        for file, content in files.items():
            if isinstance(content, bytes):
                with open(os.path.join(work, file), "wb") as made:
                    made.write(content)
            else:
                os.symlink(content, os.path.join(work, file))
        bundle = os.path.join(self.folder, name)
        run("tar", "--dereference", "-cf", bundle, "-C", work, "update.toml", *files)
        if os.path.exists(bundle + ".sig"):
            os.remove(bundle + ".sig")
        run("ssh-keygen", "-Y", "sign", "-f", self.key, "-n", "sluse-update", bundle)
        return bundle

    def version(self, name, number, version, kernel=None):
        """A bundle of a version of the appliance, with another kernel image where one is given."""
        files = {f"sluse_{version.number}.{kind}": version.file(kind) for kind in ("efi", "root", "verity")}
        if kernel:
            files[f"sluse_{version.number}.efi"] = kernel
        return self.bundle(name, "system", number, files)


class Version:
    """What `image/build` left in a folder."""

    def __init__(self, folder):
        self.kernel = glob.glob(os.path.join(folder, "sluse_*.efi"))[0]
        self.number = re.search(r"sluse_(.*)\.efi$", self.kernel)[1]

    def file(self, kind):
        return os.path.abspath(self.kernel[: -len("efi")] + kind)

    def unsigned(self, path):
        shutil.copy(self.kernel, path)
        run("sbattach", "--remove", path)
        return path

    def that_panics(self, path):
        """Its kernel image with another command line, properly signed: there is no first program, and the kernel starts anew at once."""
        line, key = path + ".cmdline", path + ".key"
        self.unsigned(path)
        run("objcopy", "--dump-section", f".cmdline={line}", path)
        with open(line) as said:
            words = said.read()
        # Of the same length: a section of such a file does not grow.
        other = words.replace(" console=tty0", " rdinit=/none").replace("panic=30", "panic=1 ")
        assert "rdinit" in other and "panic=1 " in other
        with open(line, "w") as made:
            made.write(other)
        run("objcopy", "--update-section", f".cmdline={line}", path)
        run("openssl", "rsa", "-in", SECURE_BOOT_KEY, "-passin", "pass:snakeoil", "-out", key)
        run("sbsign", "--key", key, "--cert", SECURE_BOOT_CERTIFICATE, "--output", path, path)
        os.remove(key)
        return path
