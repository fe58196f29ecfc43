//! What a PDF document does when it is opened (ISO 32000-2): told by the names in its dictionaries, written plainly,
//! with `#xx` escapes, or packed into object streams.
//!
//! `/OpenAction` and `/AA` say *when* something happens; most documents of LaTeX have one that turns to a page. *What*
//! happens is named by the action itself, wherever it stands, so it is that which is looked for.

use super::Identified;
use flate2::{Decompress, FlushDecompress, Status};
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;

/// Bytes of a name that are kept: the longest of those looked for, all of it escaped.
const MAX_NAME: usize = 64;

/// Unpacked bytes of object streams that are looked through. A document of 10,000 pages has some 10 MB of objects.
const MAX_OBJECTS: u64 = 256 << 20;

/// Names that act, and what they do.
const ACTIVE: &[(&[u8], &str)] = &[
    (b"JavaScript", "a PDF document with scripts"),
    (b"JS", "a PDF document with scripts"),
    (b"Launch", "a PDF document that starts programs"),
    (b"EmbeddedFile", "a PDF document with embedded files: they were not inspected"),
    (b"EmbeddedFiles", "a PDF document with embedded files: they were not inspected"),
    (b"RichMedia", "a PDF document with embedded media players"),
    (b"XFA", "a PDF document with an XFA form, which can hold scripts"),
    (b"SubmitForm", "a PDF document that sends what is filled in"),
    (b"ImportData", "a PDF document that reads files"),
    (b"GoToR", "a PDF document that opens other files"),
    (b"GoToE", "a PDF document that opens embedded files"),
    (b"Rendition", "a PDF document that plays media, which can run scripts"),
];

const ENCRYPTED: &str = "an encrypted PDF document: what is in it cannot be inspected";
const PACKED: &str = "a PDF document with objects packed in a way that is not read here: not inspected";
const ESCAPED: &str = "a PDF document that spells the name of an action with escapes, to hide it";

/// A look through one document.
#[derive(Default)]
pub struct Look {
    names: Names,
    /// What the dictionary before a stream says of it.
    objects: bool,
    deflated: bool,
    filters: u32,
    place: Place,
    /// What is in place, if it is packed objects and has not ended.
    packed: Option<Box<Packed>>,
    unpacked: u64,
    seen: Vec<(Class, &'static str)>,
    /// The end of what was looked at, in which a keyword may have begun.
    word: Vec<u8>,
    encrypted: bool,
}

#[derive(Default)]
enum Place {
    #[default]
    Objects,
    /// Behind `stream`: the line ends, and data begins.
    LineEnd(u8),
    /// Data, up to `endstream`.
    Data,
}

/// The data of an object stream, which is unpacked while it passes.
struct Packed {
    inflate: Decompress,
    names: Names,
}

impl Look {
    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(byte) = bytes.first() {
            match &mut self.place {
                Place::Objects => {
                    self.byte(*byte);
                    bytes = &bytes[1..];
                }
                Place::LineEnd(before) => {
                    let begun = *before == b'\n' || (*byte != b'\n' && *byte != b'\r');
                    if begun {
                        self.data();
                    } else {
                        *before = *byte;
                        bytes = &bytes[1..];
                    }
                }
                Place::Data => {
                    let end = bytes.iter().position(|byte| {
                        self.byte(*byte);
                        !matches!(self.place, Place::Data)
                    });
                    let (data, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    self.inflate(data);
                    if end.is_some() && self.packed.take().is_some() {
                        self.note(Class::NotInspected, PACKED);
                    }
                    bytes = rest;
                }
            }
        }
    }

    /// What it is.
    pub fn identify(&self) -> Identified {
        let mut identified = Identified::one(FileType::Pdf);
        if self.encrypted {
            identified.add(Class::Encrypted, ENCRYPTED);
        }
        let mut said = self.seen.clone();
        if self.packed.is_some() {
            said.push((Class::NotInspected, PACKED));
        }
        said.retain(|(_, text)| !(self.encrypted && *text == PACKED));
        // In an order that does not depend on how the bytes came.
        said.sort();
        said.dedup();
        said.iter().for_each(|(class, text)| identified.add(*class, text));
        identified
    }

    fn byte(&mut self, byte: u8) {
        let data = matches!(self.place, Place::Data);
        if let Some((name, escaped)) = self.names.byte(byte) {
            // In data that is not looked into a short name is chance.
            if !data || name.len() > 5 {
                self.name(&name, escaped, !data);
            }
        }
        self.keyword(byte);
    }

    fn name(&mut self, name: &[u8], escaped: bool, dictionary: bool) {
        if let Some((_, text)) = ACTIVE.iter().find(|(one, _)| *one == name) {
            self.note(Class::ActiveContent, text);
        }
        let acts = [&b"OpenAction"[..], b"AA"].contains(&name) || ACTIVE.iter().any(|(one, _)| *one == name);
        if escaped && acts {
            self.note(Class::ActiveContent, ESCAPED);
        }
        if dictionary {
            match name {
                b"ObjStm" => self.objects = true,
                b"FlateDecode" | b"Fl" => self.deflated = true,
                b"Encrypt" => self.encrypted = true,
                // Rows of a predictor stand between the bytes of what is packed.
                b"Predictor" => self.filters += 2,
                _ => {}
            }
            self.filters += u32::from(name.ends_with(b"Decode") || name == b"Crypt");
        }
    }

    /// Follows where data begins and ends.
    fn keyword(&mut self, byte: u8) {
        if byte.is_ascii_lowercase() {
            self.word.push(byte);
            if self.word.len() > 10 {
                self.word.remove(0);
            }
            if matches!(self.place, Place::Data) && self.word.ends_with(b"endstream") {
                self.word.clear();
                self.place = Place::Objects;
            }
            return;
        }
        let word = std::mem::take(&mut self.word);
        match (&self.place, word.as_slice()) {
            (Place::Objects, b"stream") if byte == b'\r' || byte == b'\n' => self.place = Place::LineEnd(byte),
            (Place::Objects, b"endobj" | b"obj") => self.forget(),
            _ => {}
        }
    }

    fn forget(&mut self) {
        (self.objects, self.deflated, self.filters) = (false, false, 0);
    }

    /// Data begins here.
    fn data(&mut self) {
        self.place = Place::Data;
        if self.objects && !self.encrypted {
            if self.deflated && self.filters == 1 {
                self.packed = Some(Box::new(Packed { inflate: Decompress::new(true), names: Names::default() }));
            } else if self.filters > 0 {
                self.note(Class::NotInspected, PACKED);
            } else {
                // Not packed at all: its names are read like any others.
                self.place = Place::Objects;
            }
        }
        self.forget();
    }

    /// Unpacks the data of an object stream and reads the names in it.
    fn inflate(&mut self, mut data: &[u8]) {
        let Some(mut packed) = self.packed.take() else { return };
        let mut out = [0; 4096];
        loop {
            let before = (packed.inflate.total_in(), packed.inflate.total_out());
            let status = packed.inflate.decompress(data, &mut out, FlushDecompress::None);
            let read = packed.inflate.total_in() - before.0;
            let written = (packed.inflate.total_out() - before.1) as usize;
            for byte in &out[..written] {
                if let Some((name, escaped)) = packed.names.byte(*byte) {
                    self.name(&name, escaped, false);
                }
            }
            self.unpacked += written as u64;
            data = &data[read as usize..];
            match status {
                Ok(Status::StreamEnd) => return,
                Ok(_) if self.unpacked <= MAX_OBJECTS => {}
                _ => return self.note(Class::NotInspected, PACKED),
            }
            if written < out.len() && (data.is_empty() || read == 0) {
                break;
            }
        }
        self.packed = Some(packed);
    }

    fn note(&mut self, class: Class, text: &'static str) {
        if !self.seen.contains(&(class, text)) {
            self.seen.push((class, text));
        }
    }
}

/// Reads names as they come.
#[derive(Default)]
struct Names {
    /// The name that is being read, as it is written; none between names.
    name: Option<Vec<u8>>,
}

impl Names {
    /// Takes the next byte; gives a name that it ended, and whether it was written with escapes.
    fn byte(&mut self, byte: u8) -> Option<(Vec<u8>, bool)> {
        let regular = !byte.is_ascii_whitespace() && byte != 0 && !b"()<>[]{}/%".contains(&byte);
        if regular {
            // One byte more than counts: a longer name is none of those.
            if let Some(name) = &mut self.name
                && name.len() <= MAX_NAME
            {
                name.push(byte);
            }
            return None;
        }
        let ended = self.name.take().filter(|name| !name.is_empty() && name.len() <= MAX_NAME);
        if byte == b'/' {
            self.name = Some(Vec::new());
        }
        ended.map(|name| unescape(&name))
    }
}

fn unescape(name: &[u8]) -> (Vec<u8>, bool) {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let (mut plain, mut escaped, mut at) = (Vec::new(), false, 0);
    while let Some(byte) = name.get(at) {
        match (byte, digit(name.get(at + 1)), digit(name.get(at + 2))) {
            (b'#', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                escaped = true;
                at += 3;
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    (plain, escaped)
}
