//! The other roles' connections: what each may ask, and who answers it. A connection that ends takes what it had in work
//! back to the pile.

pub(super) mod deliver;
pub(super) mod inspect;
pub(super) mod receive;

use super::live::LinkId;
use super::shared::Control;
use sluse_host::rpc;
use sluse_protocol::roles::Role;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Answers a role on a thread of its own until its connection ends.
pub fn serve(control: &Arc<Control>, role: Role, stream: UnixStream) {
    let control = Arc::clone(control);
    let started = std::thread::Builder::new().name(format!("link-{role}")).spawn(move || {
        let link = control.live.connect(role);
        tracing::info!(%role, "connected");
        control.work.open(link);
        let ended = answer(&control, role, link, stream);
        control.live.disconnect(link);
        control.work.close(link, control.store.now());
        control.store.wake.bump();
        match ended {
            Ok(()) => tracing::info!(%role, "disconnected"),
            Err(error) => tracing::warn!(%role, %error, "disconnected"),
        }
    });
    if let Err(error) = started {
        // The connection is closed with its stream; the role comes back.
        tracing::error!(%role, %error, "no thread for a connection");
    }
}

fn answer(control: &Arc<Control>, role: Role, link: LinkId, stream: UnixStream) -> std::io::Result<()> {
    let shared = Arc::clone(control);
    match role {
        Role::Receive => {
            let receive = receive::Link::new(shared);
            rpc::serve(stream, move |request, body| receive.answer(request, &body))
        }
        Role::Inspect => rpc::serve(stream, move |request, body| inspect::answer(&shared, link, request, &body)),
        Role::Deliver => rpc::serve(stream, move |request, body| deliver::answer(&shared, link, request, &body)),
        Role::Control => Err(std::io::Error::other("control does not ask itself")),
    }
}
