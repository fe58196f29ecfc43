//! How QUIC uses the network: settings that a zone (`sluse.toml`) and a source (`identity.toml`) have alike, in `[network]`.

use crate::limiter::Limiter;
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig, NewRenoConfig};
use quinn::{AckFrequencyConfig, TransportConfig, VarInt};
use serde::Serialize;
use sluse_protocol::limits;
use sluse_protocol::toml_text::{Fields, choice, number};
use std::sync::Arc;

/// A stream's window beyond this makes quinn close lossy connections ("too many gaps").
const MAX_STREAM_WINDOW: u64 = 2_900_000;

/// `[network]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Flow-control window of one stream, bytes.
    pub stream_window_bytes: u32,
    /// Flow-control window of a connection, bytes; what one side has under way at most.
    pub connection_window_bytes: u32,
    /// Bytes asked for as the UDP socket's buffers; the kernel may give less.
    pub socket_buffer_bytes: u32,
    /// What is done about loss.
    pub congestion: Congestion,
    /// How many packets the other side may take in before it acknowledges; its own choice where none is given.
    pub ack_every_packets: Option<u32>,
    /// The most that this side lets through, bytes of content a second, all connections of one process together.
    pub max_bytes_per_second: Option<u64>,
}

/// How a sender finds out what the path carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Congestion {
    /// CUBIC (RFC 9438): fair beside TCP, slow where packets are lost for other reasons than congestion.
    Cubic,
    /// BBR: as fast nearby, and much faster on long and lossy paths (decision 34). quinn calls its own experimental.
    #[default]
    Bbr,
    /// New Reno (RFC 9002).
    NewReno,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            stream_window_bytes: limits::STREAM_WINDOW_BYTES,
            connection_window_bytes: limits::CONNECTION_WINDOW_BYTES,
            socket_buffer_bytes: 4 * 1024 * 1024,
            congestion: Congestion::default(),
            ack_every_packets: None,
            max_bytes_per_second: None,
        }
    }
}

impl Network {
    /// Reads and checks the fields of `[network]`.
    pub fn read(fields: &Fields<'_>) -> Option<Self> {
        let default = Self::default();
        let kinds = [("cubic", Congestion::Cubic), ("bbr", Congestion::Bbr), ("new-reno", Congestion::NewReno)];
        let stream = fields.may("stream_window_bytes", "2400000", number(65_536..=MAX_STREAM_WINDOW));
        let connection = fields.may("connection_window_bytes", "25165824", number(1_048_576..=268_435_456));
        let buffer = fields.may("socket_buffer_bytes", "4194304", number(65_536..=67_108_864));
        let congestion = fields.may("congestion", "\"bbr\"", choice(&kinds));
        let ack_every = fields.may("ack_every_packets", "10", number(1..=100));
        let limit = fields.may("max_bytes_per_second", "12500000", number(10_000..=1 << 40));
        let stream_window_bytes = stream.unwrap_or(default.stream_window_bytes);
        let connection_window_bytes = connection.unwrap_or(default.connection_window_bytes);
        if stream_window_bytes > connection_window_bytes {
            let message = "`network.stream_window_bytes` is more than a connection's window";
            fields.wrong_at("stream_window_bytes", message, format!("write at most {connection_window_bytes}"));
        }
        Some(Self {
            stream_window_bytes,
            connection_window_bytes,
            socket_buffer_bytes: buffer.unwrap_or(default.socket_buffer_bytes),
            congestion: congestion.unwrap_or_default(),
            ack_every_packets: ack_every,
            max_bytes_per_second: limit,
        })
    }

    /// What keeps to `max_bytes_per_second`.
    pub fn limiter(&self) -> Arc<Limiter> {
        Arc::new(Limiter::new(self.max_bytes_per_second))
    }

    /// Sets a connection's windows, congestion control and acknowledgements.
    pub(crate) fn apply(&self, transport: &mut TransportConfig) {
        let factory: Arc<dyn ControllerFactory + Send + Sync> = match self.congestion {
            Congestion::Cubic => Arc::new(CubicConfig::default()),
            Congestion::Bbr => Arc::new(BbrConfig::default()),
            Congestion::NewReno => Arc::new(NewRenoConfig::default()),
        };
        let acks = self.ack_every_packets.map(|packets| {
            let mut acks = AckFrequencyConfig::default();
            acks.ack_eliciting_threshold(VarInt::from_u32(packets));
            acks
        });
        transport
            .stream_receive_window(VarInt::from_u32(self.stream_window_bytes))
            .receive_window(VarInt::from_u32(self.connection_window_bytes))
            .send_window(u64::from(self.connection_window_bytes))
            .congestion_controller_factory(factory)
            .ack_frequency_config(acks);
    }
}
