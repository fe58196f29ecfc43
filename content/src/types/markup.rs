//! What acts in a web page or a drawing: scripts, handlers of events, foreign content, as a browser would read them.

use super::Identified;
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;

const SCRIPT: &str = "a page or drawing with scripts";
const HANDLER: &str = "a page or drawing with handlers of events, which are scripts";
const FOREIGN: &str = "a drawing with foreign content, which can be a page";
const FRAME: &str = "a page or drawing that embeds another document";
const ADDRESS: &str = "a page or drawing with an address that is a script or a page of its own";

/// Bytes of a name that are kept.
const MAX_NAME: usize = 64;

/// Bytes of the beginning of a value that are kept.
const MAX_VALUE: usize = 32;

/// A look through one text that begins with `<`.
#[derive(Default)]
pub struct Look {
    place: Place,
    word: Vec<u8>,
    seen: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    /// Behind `<`.
    Tag,
    /// Within a tag, between or in the names of attributes.
    Attribute,
    /// Behind `=`.
    Value,
    /// In a value, up to this quote; 0 is one without.
    Quoted(u8),
}

impl Look {
    /// Takes the next bytes. NUL is passed over, so that UTF-16 reads like ASCII.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().filter(|byte| **byte != 0) {
            self.byte(byte.to_ascii_lowercase());
        }
    }

    /// What acts in it, if it is a page or a drawing.
    pub fn judge(&self, types: &[FileType], identified: &mut Identified) {
        if types.iter().any(|one| matches!(one, FileType::Svg | FileType::Html | FileType::Xml)) {
            let plain = !types.iter().any(|one| matches!(one, FileType::Svg | FileType::Html));
            for text in &self.seen {
                // In other XML an attribute may be called anything.
                if !(plain && [HANDLER, FRAME, FOREIGN].contains(text)) {
                    identified.add(Class::ActiveContent, text);
                }
            }
        }
    }

    fn byte(&mut self, byte: u8) {
        let space = byte.is_ascii_whitespace();
        match self.place {
            Place::Text if byte == b'<' => self.enter(Place::Tag),
            Place::Text => {}
            Place::Tag if space || byte == b'/' && !self.word.is_empty() || byte == b'>' => {
                self.tag();
                self.enter(if byte == b'>' { Place::Text } else { Place::Attribute });
            }
            Place::Attribute if byte == b'=' => {
                self.attribute();
                self.enter(Place::Value);
            }
            Place::Tag | Place::Attribute if byte == b'<' => self.enter(Place::Tag),
            Place::Attribute if byte == b'>' => self.enter(Place::Text),
            // A space may stand between a name and its `=`.
            Place::Attribute if space => self.word.push(b' '),
            Place::Attribute if self.word.ends_with(b" ") || byte == b'/' || byte == b'"' || byte == b'\'' => {
                self.word.clear();
                self.push(byte, MAX_NAME);
            }
            Place::Tag | Place::Attribute => self.push(byte, MAX_NAME),
            Place::Value if space => {}
            Place::Value if byte == b'"' || byte == b'\'' => self.enter(Place::Quoted(byte)),
            Place::Value if byte == b'>' => self.enter(Place::Text),
            Place::Value => {
                self.enter(Place::Quoted(0));
                self.push(byte, MAX_VALUE);
            }
            Place::Quoted(quote) if byte == quote || quote == 0 && (space || byte == b'>') => {
                self.value();
                self.enter(if quote == 0 && byte == b'>' { Place::Text } else { Place::Attribute });
            }
            // Browsers pass over space and control characters in the name of a scheme.
            Place::Quoted(_) if byte <= b' ' => {}
            Place::Quoted(_) => self.push(byte, MAX_VALUE),
        }
        if self.word.len() > MAX_NAME + 1 {
            self.word.truncate(MAX_NAME + 1);
        }
    }

    fn enter(&mut self, place: Place) {
        self.place = place;
        self.word.clear();
    }

    fn push(&mut self, byte: u8, most: usize) {
        if self.word.len() <= most {
            self.word.push(byte);
        }
    }

    fn tag(&mut self) {
        match local(&self.word) {
            b"script" => self.note(SCRIPT),
            b"foreignobject" => self.note(FOREIGN),
            b"iframe" | b"object" | b"embed" | b"frame" | b"applet" => self.note(FRAME),
            _ => {}
        }
    }

    fn attribute(&mut self) {
        let name = local(self.word.trim_ascii());
        if name.len() > 4 && name.starts_with(b"on") && name.iter().all(u8::is_ascii_alphabetic) {
            self.note(HANDLER);
        }
    }

    fn value(&mut self) {
        // An address may be written with references to characters; browsers read those first.
        let word = &self.word;
        let scheme = [&b"javascript:"[..], b"vbscript:", b"data:text/html", b"data:image/svg+xml"];
        let referred = word.starts_with(b"&#") || word.windows(2).take(10).any(|pair| pair == b"&#");
        if scheme.iter().any(|scheme| word.starts_with(scheme)) || referred && word.contains(&b':') {
            self.note(ADDRESS);
        }
    }

    fn note(&mut self, text: &'static str) {
        if !self.seen.contains(&text) {
            self.seen.push(text);
        }
    }
}

/// A name without its namespace's prefix.
fn local(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| *byte == b':').next().unwrap_or(name)
}
