//! Where things lie in a landing zone's folder, and who owns them.

use sluse_protocol::ids::TransferId;
use sluse_protocol::roles::Role;
use std::path::{Path, PathBuf};

/// The paths of a landing zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    /// Where the service manager handed over the private keys, if it did.
    handed_over: Option<PathBuf>,
}

impl Layout {
    /// The layout of the zone in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), handed_over: None }
    }

    /// The same zone, whose private keys the service manager has decrypted into `folder`: none is looked for in the zone.
    #[must_use]
    pub fn with_keys_in(self, folder: PathBuf) -> Self {
        Self { handed_over: Some(folder), ..self }
    }

    /// The zone's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("sluse.toml")
    }

    /// A role's own folder: its keys and state, mode 0700.
    pub fn role(&self, role: Role) -> PathBuf {
        self.root.join(role.as_str())
    }

    fn key(&self, role: Role, name: &str) -> PathBuf {
        self.handed_over.clone().unwrap_or_else(|| self.role(role)).join(name)
    }

    /// Private keys as the service manager keeps them: each encrypted for this host, under its file's name.
    pub fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }

    /// Public halves, readable by every role.
    pub fn trust(&self) -> PathBuf {
        self.root.join("trust")
    }

    /// The certificate authority's certificate, PEM.
    pub fn ca_certificate(&self) -> PathBuf {
        self.trust().join("ca.crt")
    }

    /// The zone's signing key, public half, an OpenSSH line.
    pub fn signer(&self) -> PathBuf {
        self.trust().join("signer.pub")
    }

    /// The zone's signing key as an `allowed_signers` file for `ssh-keygen -Y verify`.
    pub fn allowed_signers(&self) -> PathBuf {
        self.trust().join("allowed_signers")
    }

    /// What the zone stated of its keys each time that one was exchanged, a line each
    /// ([`sluse_protocol::key_statement::Signed`]); not there before the first time.
    pub fn key_statements(&self) -> PathBuf {
        self.trust().join("keys.jsonl")
    }

    /// The quarantine key's public half, an age recipient line.
    pub fn quarantine_recipient(&self) -> PathBuf {
        self.trust().join("quarantine.pub")
    }

    /// `deliver`'s key, public half, an age recipient line.
    pub fn deliver_recipient(&self) -> PathBuf {
        self.trust().join("deliver.pub")
    }

    /// The certificate authority's private key, PEM (PKCS#8).
    pub fn ca_key(&self) -> PathBuf {
        self.key(Role::Control, "ca.key")
    }

    /// The signing key's seed.
    pub fn signing_key(&self) -> PathBuf {
        self.key(Role::Control, "signing.key")
    }

    /// The state database.
    pub fn database(&self) -> PathBuf {
        self.role(Role::Control).join("state.db")
    }

    /// The audit log's last checkpoint, which must not lie in the database.
    pub fn checkpoint(&self) -> PathBuf {
        self.role(Role::Control).join("checkpoint")
    }

    /// Where an operator moves a last checkpoint that the log no longer contains.
    pub fn lost_checkpoint(&self) -> PathBuf {
        self.role(Role::Control).join("checkpoint.lost")
    }

    /// The folder of a copy of the database that is being backed up.
    pub fn snapshot(&self) -> PathBuf {
        self.role(Role::Control).join("snapshot")
    }

    /// What a restore tells the first start.
    pub fn restored(&self) -> PathBuf {
        self.role(Role::Control).join("restored")
    }

    /// Plans and manifests, as `control` keeps them.
    pub fn documents(&self) -> PathBuf {
        self.role(Role::Control).join("documents")
    }

    /// `receive`'s TLS key, PEM (PKCS#8).
    pub fn tls_key(&self) -> PathBuf {
        self.key(Role::Receive, "tls.key")
    }

    /// `receive`'s TLS certificate, PEM.
    pub fn tls_certificate(&self) -> PathBuf {
        self.role(Role::Receive).join("tls.crt")
    }

    /// What `receive` derives its stateless resets' keys from.
    pub fn reset_key(&self) -> PathBuf {
        self.key(Role::Receive, "reset.key")
    }

    /// The quarantine's private key: an age identity file.
    pub fn quarantine_key(&self) -> PathBuf {
        self.key(Role::Inspect, "quarantine.key")
    }

    /// The transfers' identities, each wrapped to the quarantine key.
    pub fn identities(&self) -> PathBuf {
        self.role(Role::Inspect).join("identities")
    }

    /// One transfer identity's file, by its public half (`age1…`).
    pub fn identity(&self, recipient: &str) -> PathBuf {
        self.identities().join(format!("{recipient}.age"))
    }

    /// `deliver`'s private key: an age identity file.
    pub fn deliver_key(&self) -> PathBuf {
        self.key(Role::Deliver, "deliver.key")
    }

    /// Deliveries whose receipt is not in the room yet: `deliver`'s own notes.
    pub fn pending(&self) -> PathBuf {
        self.role(Role::Deliver).join("pending")
    }

    /// Deliveries to rooms elsewhere that are not whole yet, `deliver`'s.
    pub fn elsewhere(&self) -> PathBuf {
        self.role(Role::Deliver).join("elsewhere")
    }

    /// The quarantine: incoming and sealed transfers, one file system.
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Transfers that `receive` may write to.
    pub fn incoming(&self) -> PathBuf {
        self.quarantine().join("incoming")
    }

    /// Transfers that `receive` can no longer reach.
    pub fn sealed(&self) -> PathBuf {
        self.quarantine().join("sealed")
    }

    /// What is known of updates that were put in place, and where one is unpacked: root's.
    pub fn updates(&self) -> PathBuf {
        self.root.join("updates")
    }

    /// Sockets.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The operators' socket.
    pub fn operator_socket(&self) -> PathBuf {
        self.run().join("operator.sock")
    }

    /// The monitors' socket.
    pub fn metrics_socket(&self) -> PathBuf {
        self.run().join("metrics.sock")
    }

    /// The socket at which `control` gives alerts, in a folder of its own.
    pub fn alerts_socket(&self) -> PathBuf {
        self.run().join("alerts/alerts.sock")
    }

    /// The socket on which `control` answers a role, where roles run as units of their own.
    pub fn role_socket(&self, role: Role) -> PathBuf {
        self.run().join(format!("control-{role}.sock"))
    }
}

/// The name of the folder of a transfer in `incoming` or `sealed`.
pub fn transfer_folder(parent: &Path, transfer: &TransferId) -> PathBuf {
    parent.join(transfer.as_str())
}

/// The folder in `sealed` of what was carried of a transfer that is put together from it.
pub fn delta_folder(sealed: &Path, transfer: &TransferId) -> PathBuf {
    sealed.join(format!("{transfer}.delta"))
}

/// The folder in `sealed` in which a transfer is being put together; means nothing before it has its own name.
pub fn assembly_folder(sealed: &Path, transfer: &TransferId) -> PathBuf {
    sealed.join(format!("{transfer}.new"))
}

/// A chunk's file in its transfer's folder: an age file of its own, which stock `age` opens.
pub fn chunk_file(index: u32) -> String {
    format!("{index:07}.age")
}

/// The chunk index in a transfer's folder ([`sluse_protocol::chunk_index`]).
pub const CHUNK_INDEX: &str = "chunks.index";

/// The sealed manifest in a transfer's folder, encrypted like a chunk.
pub const MANIFEST: &str = "manifest.age";
