//! One file and everything in it.

use super::stream::Stream;
use super::{look_at_name, place};
use crate::containers::{End, Limits, Member, TURNED, Visitor, Walker, turns_writing};
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink, Unpacked};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Reads a file, and each member of every container in it as if it were a file: its type, its structure, what identifies
/// persons in it. What is noticed in a member names its place.
pub struct FileReader {
    /// None once the file has ended.
    walker: Option<Walker>,
    streams: Streams,
}

/// What is open: the file first, and each member within the one before it.
struct Streams {
    policy: Arc<Policy>,
    open: Vec<Stream>,
}

impl FileReader {
    /// Starts on the file of this path and size, of which an agreement asks `policy`.
    pub fn new(path: &str, size: u64, policy: &Arc<Policy>) -> Self {
        let streams = Streams { policy: Arc::clone(policy), open: Vec::new() };
        Self { walker: Some(Walker::new(path, Some(size), Limits::default())), streams }
    }
}

impl Reader for FileReader {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        if let Some(walker) = &mut self.walker {
            walker.feed(bytes, &mut Look { streams: &mut self.streams, sink });
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if let Some(walker) = self.walker.take() {
            walker.finish(&mut Look { streams: &mut self.streams, sink });
        }
    }
}

/// What the walker shows, on its way to the readers and to whoever else looks at members.
struct Look<'a> {
    streams: &'a mut Streams,
    sink: &'a mut dyn Sink,
}

impl Visitor for Look<'_> {
    fn begin(&mut self, member: &Member<'_>) {
        let Streams { policy, open } = &mut *self.streams;
        let name = member.chain.last().map_or("", String::as_str);
        let stream = Stream::new(name, place::of(member.chain.get(1..).unwrap_or_default()), policy);
        if member.depth == 0 {
            look_at_name(name, "the file's path", policy, self.sink);
            if turns_writing(name) {
                self.sink.notice(Notice { class: Class::Path, offset: None, message: TURNED.into() });
            }
        } else {
            self.sink.unpacked(Unpacked::Begin { place: stream.place() });
            let mut noticed = Vec::new();
            look_at_name(name, "its name", policy, &mut noticed);
            noticed.into_iter().for_each(|notice| stream.notice(notice, self.sink));
        }
        open.push(stream);
    }

    fn bytes(&mut self, depth: usize, bytes: &[u8]) {
        if depth > 0 {
            self.sink.unpacked(Unpacked::Bytes { depth, bytes });
        }
        let Streams { policy, open } = &mut *self.streams;
        if let Some(stream) = open.get_mut(depth) {
            stream.feed(bytes, policy, self.sink);
        }
    }

    fn end(&mut self, depth: usize, end: End) {
        if depth > 0 {
            self.sink.unpacked(Unpacked::End);
        }
        let Streams { policy, open } = &mut *self.streams;
        if let Some(stream) = open.pop() {
            let weighed = stream.finish(end, policy, self.sink);
            match open.last_mut() {
                Some(container) => container.weigh_later(weighed),
                None => {
                    weighed.doubts.tell(self.sink);
                    weighed.bulk.into_iter().for_each(|bulk| self.sink.bulk(bulk));
                }
            }
        }
    }

    fn notice(&mut self, depth: usize, notice: Notice) {
        if let Some(stream) = self.streams.open.get(depth) {
            stream.notice(notice, self.sink);
        }
    }
}
