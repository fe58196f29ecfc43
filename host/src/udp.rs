//! A UDP socket made ready for QUIC by a process that will soon be unable to make sockets.
//!
//! QUIC asks the kernel, on sockets of its own that it throws away, how many datagrams one call may send and receive. A
//! confined process has no `socket` call: it would be told *one*, and then lose what the kernel still hands it in bundles.
//! So the question is put before, and [`Prepared::endpoint`] only uses the answer.

use crate::quic;
use nix::sys::socket::{setsockopt, sockopt};
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, EndpointConfig, TokioRuntime, UdpPoller};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;

/// A socket with enlarged buffers, and what the kernel can do with it.
#[derive(Debug)]
pub struct Prepared {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Prepared {
    /// Prepares a bound socket.
    ///
    /// # Errors
    /// When the socket cannot be used for QUIC.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        // Smaller buffers cost speed, not correctness: a refusal is no error.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &quic::SOCKET_BUFFER);
        let _ = setsockopt(&socket, sockopt::SndBuf, &quic::SOCKET_BUFFER);
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state })
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
        let socket = Arc::new(Socket { io: tokio::net::UdpSocket::from_std(self.socket)?, state: self.state });
        config.max_udp_payload_size(quic::MAX_UDP_PAYLOAD).map_err(io::Error::other)?;
        quinn::Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))
    }
}

#[derive(Debug)]
struct Socket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), transmit))
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
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
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
