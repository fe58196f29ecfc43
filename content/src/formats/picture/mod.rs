//! Pictures: whole by their format, and what stands beside the picture itself. What the picture shows is not read.

mod exif;
mod jpeg;
mod png;

pub use jpeg::Jpeg;
pub use png::Png;

use crate::reader::{Notice, Sink};
use sluse_protocol::finding::Class;

/// Says what is wrong with a picture's outer form: where and what first, or that it breaks off at its end, and what stands behind it.
fn tell_shape(ended: bool, end: u64, wrong: Option<(u64, &'static str)>, behind: Option<u64>, sink: &mut dyn Sink) {
    let cut = (!ended).then_some((end, "the picture ends within itself: it may have been cut off"));
    if let Some((offset, what)) = wrong.or(cut) {
        sink.notice(Notice { class: Class::Malformed, offset: Some(offset), message: what.into() });
    }
    if let Some(offset) = behind {
        let message = "bytes behind the end of the picture".into();
        sink.notice(Notice { class: Class::Irregular, offset: Some(offset), message });
    }
}

#[cfg(test)]
mod tests;
