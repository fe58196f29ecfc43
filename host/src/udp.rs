//! A UDP socket made ready for QUIC by a process that will soon be unable to make sockets.
//!
//! QUIC asks the kernel how many datagrams one call may send and receive, on sockets of its own that it throws away. A role
//! that may make no such socket, be it confined already or a unit without internet addresses, would be told *one*, and then
//! lose what the kernel still hands it in bundles. So the question is put to the socket that there is.

use crate::network::Network;
use crate::{os, quic};
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, EndpointConfig, TokioRuntime, UdpPoller};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;

/// A socket with enlarged buffers, and what the kernel can do with it.
#[derive(Debug)]
pub struct Prepared {
    socket: UdpSocket,
    state: UdpSocketState,
    bundles: Bundles,
}

/// How many datagrams one call may send and receive.
#[derive(Debug)]
struct Bundles {
    /// One, as soon as the network's hardware turned out not to take more.
    sent: AtomicUsize,
    received: usize,
}

impl Bundles {
    /// Asks the kernel, and has it hand over bundles where it can.
    fn of(socket: &UdpSocket, state: &UdpSocketState) -> Self {
        let (sent, received) = os::bundles(socket, state);
        Self { sent: AtomicUsize::new(sent), received }
    }
}

impl Prepared {
    /// Prepares a bound socket.
    ///
    /// # Errors
    /// When the socket cannot be used for QUIC.
    pub fn new(network: &Network, socket: UdpSocket) -> io::Result<Self> {
        os::enlarge_buffers(&socket, network.socket_buffer_bytes as usize)?;
        let state = UdpSocketState::new((&socket).into())?;
        let bundles = Bundles::of(&socket, &state);
        Ok(Self { socket, state, bundles })
    }

    /// Makes it an endpoint of the running runtime.
    ///
    /// # Errors
    /// When the runtime cannot use it.
    pub fn endpoint(
        self,
        mut config: EndpointConfig,
        server: Option<quinn::ServerConfig>,
    ) -> io::Result<quinn::Endpoint> {
        let Self { socket, state, bundles } = self;
        let socket = Arc::new(Socket { io: tokio::net::UdpSocket::from_std(socket)?, state, bundles });
        config.max_udp_payload_size(quic::MAX_UDP_PAYLOAD).map_err(io::Error::other)?;
        quinn::Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))
    }
}

#[derive(Debug)]
struct Socket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    bundles: Bundles,
}

impl Socket {
    /// A datagram that could not be sent is a lost one: QUIC sends again what matters.
    fn not_sent(&self, error: &io::Error) {
        if os::is_too_large(error) {
            // Finding out how large packets may be.
            return;
        }
        // Only an attempt shows that hardware does not cut bundles.
        if os::may_be_for_the_bundle(error) && self.bundles.sent.swap(1, Ordering::Relaxed) > 1 {
            return tracing::info!(%error, "datagrams are sent one by one: the network does not take bundles");
        }
        tracing::debug!(%error, "a datagram was not sent");
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), transmit));
        match sent {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.not_sent(&error);
                Ok(())
            }
            other => other,
        }
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(context))?;
            let receive = || self.state.recv((&self.io).into(), buffers, meta);
            // An error concerns one datagram, or says that another task was faster: the next poll waits.
            if let Ok(received) = self.io.try_io(Interest::READABLE, receive) {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.bundles.sent.load(Ordering::Relaxed)
    }

    fn max_receive_segments(&self) -> usize {
        self.bundles.received
    }
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// One task's wait until the socket takes more.
struct Writable {
    socket: Arc<Socket>,
    waiting: Option<Waiting>,
}

impl fmt::Debug for Writable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Writable").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = Arc::clone(&self.socket);
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(async move { socket.io.writable().await }));
        let ended = ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        Poll::Ready(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_there_says_how_many_datagrams_a_call_carries() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // What QUIC finds out on sockets of its own, where it may make some.
        let asked = UdpSocketState::new((&socket).into()).unwrap();
        let bundles = Bundles::of(&socket, &asked);
        assert_eq!((bundles.sent.into_inner(), bundles.received), (asked.max_gso_segments(), asked.gro_segments()));
    }
}
