//! One association, from its request to its end.

use super::command::{self, MAX_COMMAND, Request};
use super::documents;
use super::negotiation::{self, Agreed, VERIFICATION};
use super::store::Store;
use super::wire::{Broken, Incoming, Value, Wire, values};
use crate::settings::Dicom;
use crate::spool::Inlet;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long a caller may take to say what he wants.
const GREETING: Duration = Duration::from_secs(10);

/// An association that was accepted.
pub struct Association {
    wire: Wire,
    agreed: Agreed,
    peer: IpAddr,
}

/// How an association ended.
enum End {
    /// As it should.
    Released,
    /// The caller broke it off.
    Aborted,
}

/// A message that is being received.
enum Message<'a> {
    /// Nothing yet.
    None,
    /// A command, so far.
    Command(u8, Vec<u8>),
    /// The image behind a command, by its context and the message's number.
    Image(u8, u16, String, String, Box<Store<'a>>),
}

impl Association {
    /// Answers whoever called; none where he was refused.
    ///
    /// # Errors
    /// When he does not speak DICOM, or hangs up.
    pub fn open(stream: TcpStream, peer: IpAddr, settings: &Dicom, full: bool) -> Result<Option<Self>, Broken> {
        let mut greeted = Wire::new(stream.try_clone()?, GREETING)?;
        let Incoming::Request(request) = greeted.receive()? else {
            return Err(Broken::Garbage("no request for an association"));
        };
        let (agreed, answer) = negotiation::answer(&request, peer, settings, full);
        greeted.send(&answer)?;
        let Some(agreed) = agreed else {
            tracing::warn!(%peer, full, "an association was refused");
            return Ok(None);
        };
        // Nothing may follow a request before its answer: what was read ahead is nothing.
        let wire = Wire::new(stream, settings.idle)?;
        Ok(Some(Self { wire, agreed, peer }))
    }

    /// Serves it to its end.
    pub fn serve(self, inlet: &Arc<Inlet>) {
        let Self { mut wire, agreed, peer } = self;
        let (flow, mut images) = (agreed.entity.flow.as_str(), 0);
        match serve(&mut wire, &agreed, inlet, &mut images) {
            Ok(End::Released) => tracing::info!(%peer, flow, images, "association released"),
            Ok(End::Aborted) => tracing::warn!(%peer, flow, images, "association aborted by the caller"),
            Err(error) => {
                // Whoever is gone hears nothing.
                let _ = wire.send(&documents::abort());
                tracing::warn!(%peer, flow, images, "association broken off: {error}");
            }
        }
    }
}

fn serve(wire: &mut Wire, agreed: &Agreed, inlet: &Arc<Inlet>, images: &mut u64) -> Result<End, Broken> {
    let mut message = Message::None;
    loop {
        let mut answers = Vec::new();
        let end = match wire.receive()? {
            Incoming::Data(pdu) => {
                for value in values(pdu) {
                    let (next, answer) = message.take(value?, agreed, inlet)?;
                    message = next;
                    answers.extend(answer);
                }
                None
            }
            Incoming::Release => Some(End::Released),
            Incoming::Abort => Some(End::Aborted),
            Incoming::Request(_) => return Err(Broken::Garbage("a second request")),
        };
        for (context, answer, image) in answers {
            wire.send_command(context, &answer)?;
            *images += u64::from(image);
        }
        match end {
            None => {}
            Some(End::Aborted) => return Ok(End::Aborted),
            Some(End::Released) => {
                wire.send(&documents::released())?;
                return Ok(End::Released);
            }
        }
    }
}

/// An answer in a context, and whether it is about an image.
type Answer = (u8, Vec<u8>, bool);

impl<'a> Message<'a> {
    /// Takes the next piece.
    fn take(self, value: Value<'_>, agreed: &'a Agreed, inlet: &Arc<Inlet>) -> Result<(Self, Option<Answer>), Broken> {
        match (self, value.command) {
            (Message::None, true) => Message::Command(value.context, Vec::new()).command(value, agreed, inlet),
            (command @ Message::Command(..), true) => command.command(value, agreed, inlet),
            (Message::Image(context, message, class, instance, mut store), false) if context == value.context => {
                store.take(value.bytes);
                if !value.last {
                    return Ok((Message::Image(context, message, class, instance, store), None));
                }
                let answer = command::stored(message, &class, &instance, store.finish());
                Ok((Message::None, Some((context, answer, true))))
            }
            _ => Err(Broken::Garbage("a piece of a message where none belongs")),
        }
    }

    fn command(
        self,
        value: Value<'_>,
        agreed: &'a Agreed,
        inlet: &Arc<Inlet>,
    ) -> Result<(Self, Option<Answer>), Broken> {
        let Message::Command(context, mut set) = self else { return Err(Broken::Garbage("no command")) };
        let agreed_context = agreed.contexts.get(&value.context).filter(|_| value.context == context);
        let agreed_context = agreed_context.ok_or(Broken::Garbage("a context that was not agreed on"))?;
        if set.len() + value.bytes.len() > MAX_COMMAND {
            return Err(Broken::Garbage("a command that is too long"));
        }
        set.extend(value.bytes);
        if !value.last {
            return Ok((Message::Command(context, set), None));
        }
        match command::read(&set) {
            Some(Request::Echo { message }) => Ok((Message::None, Some((context, command::echoed(message), false)))),
            Some(Request::Store { message, class, instance }) if agreed_context.class != VERIFICATION => {
                let store = Store::begin(inlet, agreed, agreed_context, &class, instance.clone());
                Ok((Message::Image(context, message, class, instance, Box::new(store)), None))
            }
            _ => Err(Broken::Garbage("a command that is not served here")),
        }
    }
}
