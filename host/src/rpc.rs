//! Requests and answers over a Unix stream socket, many at a time: the roles' and the operators' sockets.
//!
//! A frame's head is `{"id": N, "message": …}`; the answer bears the request's id. A peer that sends what its socket's
//! request type does not know is cut off: what may not be asked does not even decode.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sluse_protocol::frame::{self, BadFrame, Lengths, PREFIX_BYTES};
use sluse_protocol::limits;
use sluse_protocol::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// Requests of a role's connection that are answered at the same time; further ones wait unread.
const MAX_IN_FLIGHT: usize = 1024;

/// How long somebody who is turned away may take to ask, and to read the answer.
const STRANGERS_TIME: Duration = Duration::from_secs(2);

/// Stack of a thread that answers one request.
const HANDLER_STACK: usize = 1024 * 1024;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection ended, or ended before the answer came.
    #[error("the connection to the other role is lost")]
    Lost,
    /// No answer in time.
    #[error("no answer within {} seconds", _0.as_secs())]
    TimedOut(Duration),
    /// The request is larger than a frame.
    #[error(transparent)]
    Frame(#[from] BadFrame),
    /// The socket cannot be reached.
    #[error("{0}")]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    id: u64,
    message: T,
}

type Answer<A> = Result<(A, Vec<u8>), CallError>;
type Callback<A> = Box<dyn FnOnce(Answer<A>) + Send>;

/// The asking end of a socket.
pub struct Client<Q, A> {
    stream: UnixStream,
    writing: Mutex<()>,
    pending: Arc<Mutex<Pending<A>>>,
    asks: PhantomData<fn(Q)>,
}

struct Pending<A> {
    next: u64,
    lost: bool,
    callbacks: HashMap<u64, Callback<A>>,
}

impl<Q, A> std::fmt::Debug for Client<Q, A> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Client").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<Q: Serialize, A: DeserializeOwned + Send + 'static> Client<Q, A> {
    /// A client of the socket at `path`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(path: &Path) -> io::Result<Self> {
        Self::new(UnixStream::connect(path)?)
    }

    /// A client on a connected socket.
    ///
    /// # Errors
    /// When the socket cannot be shared with the thread that reads answers.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_write_timeout(Some(limits::ROLE_TIMEOUT))?;
        let pending = Arc::new(Mutex::new(Pending { next: 0, lost: false, callbacks: HashMap::new() }));
        let (reading, waiting) = (stream.try_clone()?, Arc::clone(&pending));
        std::thread::Builder::new().name("answers".into()).spawn(move || read_answers(reading, &waiting))?;
        Ok(Self { stream, writing: Mutex::new(()), pending, asks: PhantomData })
    }

    /// Asks, and waits for the answer and its body.
    ///
    /// # Errors
    /// When the connection is lost, or no answer comes in time.
    pub fn call(&self, request: &Q, body: &[u8]) -> Answer<A> {
        self.call_within(limits::ROLE_TIMEOUT, request, body)
    }

    /// The same for what may take longer.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_within(&self, deadline: Duration, request: &Q, body: &[u8]) -> Answer<A> {
        let (answered, answer) = mpsc::sync_channel(1);
        self.start(request, body, move |result| {
            // The caller may have given up waiting.
            let _ = answered.send(result);
        });
        answer.recv_timeout(deadline).unwrap_or(Err(CallError::TimedOut(deadline)))
    }

    /// Asks; `answered` is called once, from another thread, with the answer or with [`CallError::Lost`].
    pub fn start(&self, request: &Q, body: &[u8], answered: impl FnOnce(Answer<A>) + Send + 'static) {
        let id = {
            let mut pending = lock(&self.pending);
            if pending.lost {
                drop(pending);
                return answered(Err(CallError::Lost));
            }
            let id = pending.next;
            pending.next += 1;
            pending.callbacks.insert(id, Box::new(answered));
            id
        };
        if let Err(error) = self.send(id, request, body)
            && let Some(callback) = lock(&self.pending).callbacks.remove(&id)
        {
            callback(Err(error));
        }
    }

    /// Whether the connection has ended.
    pub fn is_lost(&self) -> bool {
        lock(&self.pending).lost
    }

    fn send(&self, id: u64, request: &Q, body: &[u8]) -> Result<(), CallError> {
        let frame = frame::encode(&Envelope { id, message: request }, body)?;
        let _one_frame_at_a_time = lock(&self.writing);
        (&self.stream).write_all(&frame).map_err(|_| CallError::Lost)
    }
}

impl<Q, A> Drop for Client<Q, A> {
    fn drop(&mut self) {
        // Ends the reading thread; the peer may have closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn read_answers<A: DeserializeOwned>(mut stream: UnixStream, pending: &Mutex<Pending<A>>) {
    while let Ok(Some((envelope, body))) = read_frame::<Envelope<A>>(&mut stream) {
        let callback = lock(pending).callbacks.remove(&envelope.id);
        if let Some(callback) = callback {
            callback(Ok((envelope.message, body)));
        }
    }
    let callbacks = {
        let mut pending = lock(pending);
        pending.lost = true;
        std::mem::take(&mut pending.callbacks)
    };
    for callback in callbacks.into_values() {
        callback(Err(CallError::Lost));
    }
}

/// Answers the requests of a role's connection until it ends; each request is handled on a thread of its own.
///
/// # Errors
/// When the peer broke the framing or asked what its socket does not permit; the connection is closed then.
pub fn serve<Q, A>(
    stream: UnixStream,
    handler: impl Fn(Q, Vec<u8>) -> (A, Vec<u8>) + Send + Sync + 'static,
) -> io::Result<()>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + From<Refusal>,
{
    serve_within(MAX_IN_FLIGHT, stream, handler)
}

/// The same with at most `in_flight` requests that are answered at the same time; further ones wait unread.
///
/// # Errors
/// As [`serve`].
pub fn serve_within<Q, A>(
    in_flight: usize,
    stream: UnixStream,
    handler: impl Fn(Q, Vec<u8>) -> (A, Vec<u8>) + Send + Sync + 'static,
) -> io::Result<()>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + From<Refusal>,
{
    stream.set_write_timeout(Some(limits::ROLE_TIMEOUT))?;
    let shared =
        Arc::new(Served { stream: stream.try_clone()?, writing: Mutex::new(()), handler, slots: Arc::default() });
    let mut stream = stream;
    loop {
        let read = read_frame::<Envelope<Q>>(&mut stream);
        let (envelope, body) = match read {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                // Closing is all that can be done to a peer that breaks the rules.
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return Err(error);
            }
        };
        let slot = shared.slots.take(in_flight);
        let (served, id) = (Arc::clone(&shared), envelope.id);
        let started = std::thread::Builder::new().name("request".into()).stack_size(HANDLER_STACK).spawn(move || {
            let (answer, body) = (served.handler)(envelope.message, body);
            served.answer(id, &answer, &body);
            drop(slot);
        });
        if let Err(error) = started {
            // The connection has done nothing wrong, and others may be waiting on it.
            tracing::error!(%error, "no thread for a request");
            shared.answer(id, &A::from(Refusal::new(Code::Busy, "no thread is left for this")), &[]);
        }
    }
}

/// Tells whoever connected why nothing is answered, whatever is asked first, and closes.
///
/// # Errors
/// When nothing is asked within seconds, or the answer cannot be written.
pub fn turn_away<A: Serialize>(mut stream: UnixStream, answer: &A) -> io::Result<()> {
    stream.set_read_timeout(Some(STRANGERS_TIME))?;
    stream.set_write_timeout(Some(STRANGERS_TIME))?;
    if stream.read(&mut [0; 4096])? == 0 {
        return Ok(());
    }
    // A client's first request has the number 0.
    let frame = frame::encode(&Envelope { id: 0, message: answer }, &[]).map_err(io::Error::other)?;
    stream.write_all(&frame)
}

struct Served<F> {
    stream: UnixStream,
    writing: Mutex<()>,
    handler: F,
    slots: Arc<Slots>,
}

impl<F> Served<F> {
    fn answer(&self, id: u64, answer: &impl Serialize, body: &[u8]) {
        let sent = match frame::encode(&Envelope { id, message: answer }, body) {
            Ok(frame) => {
                let _one_frame_at_a_time = lock(&self.writing);
                (&self.stream).write_all(&frame)
            }
            Err(error) => Err(io::Error::other(error)),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer could not be sent");
            // Half an answer may be out: the peer must not wait for the rest.
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

#[derive(Default)]
struct Slots {
    used: Mutex<usize>,
    freed: Condvar,
}

struct Slot(Arc<Slots>);

impl Slots {
    fn take(self: &Arc<Self>, most: usize) -> Slot {
        let mut used = lock(&self.used);
        while *used >= most {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += 1;
        Slot(Arc::clone(self))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *lock(&self.0.used) -= 1;
        self.0.freed.notify_one();
    }
}

/// Reads one frame; `None` when the peer closed between frames.
fn read_frame<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<Option<(T, Vec<u8>)>> {
    // Between frames a peer may be silent for as long as it likes; within one it may not.
    stream.set_read_timeout(None)?;
    let mut prefix = [0; PREFIX_BYTES];
    if stream.read(&mut prefix[..1])? == 0 {
        return Ok(None);
    }
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.read_exact(&mut prefix[1..])?;
    let lengths = Lengths::parse(prefix).map_err(io::Error::other)?;
    let mut head = vec![0; lengths.head];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; lengths.body];
    stream.read_exact(&mut body)?;
    let message = frame::decode_head(&head).map_err(io::Error::other)?;
    Ok(Some((message, body)))
}

/// A panic in another thread leaves the data behind these locks whole: each critical section is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
