//! Was a DICOM file de-identified? The flag that says so proves little: what is looked at is what stands in it.

use super::elements::Element;
use super::tags;
use crate::flaw::Flaw;
use crate::identifiers::{Scanner, Tally, Token};
use crate::policy::Policy;
use crate::reader::{Notice, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Options of de-identification (PS3.16, context group 7050): pixels were cleaned; faces were made unrecognisable.
const PIXELS_CLEANED: &[u8] = b"113101";
const FACES_CLEANED: &[u8] = b"113102";

/// Kinds of pictures into which devices write text.
const TEXT_IN_PIXELS: [&[u8]; 5] = [b"US", b"XA", b"ES", b"SC", b"OT"];

/// A document within a DICOM file.
const ENCAPSULATED_PDF: &[u8] = b"1.2.840.10008.5.1.4.1.1.104.1";

/// Names in a list that are shown.
const SHOWN: usize = 12;

/// What one file says of a person.
pub struct Person {
    policy: Arc<Policy>,
    tally: Option<Tally>,
    scanner: Scanner,
    removed: bool,
    pixels_cleaned: bool,
    faces_cleaned: bool,
    burned_in: Option<bool>,
    text_in_pixels: bool,
    head: bool,
    section: bool,
    /// Elements that ought to be empty, in order of appearance, and where the first is.
    filled: Vec<&'static str>,
    filled_at: u64,
    /// Names and identifiers that are no pseudonym.
    no_pseudonym: Vec<&'static str>,
    no_pseudonym_at: u64,
    private: Flaw,
    first_private: u32,
}

impl Person {
    /// Nothing seen yet.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            policy: policy.clone(),
            tally: policy.identifiers.clone().map(Tally::new),
            scanner: Scanner::default(),
            removed: false,
            pixels_cleaned: false,
            faces_cleaned: false,
            burned_in: None,
            text_in_pixels: false,
            head: false,
            section: false,
            filled: Vec::new(),
            filled_at: 0,
            no_pseudonym: Vec::new(),
            no_pseudonym_at: 0,
            private: Flaw::default(),
            first_private: 0,
        }
    }

    /// A value begins.
    pub fn begin(&mut self, element: &Element) {
        if tags::is_private(element.tag) {
            if self.first_private == 0 {
                self.first_private = element.tag;
            }
            self.private.at(element.start);
        }
    }

    /// A part of a value.
    pub fn piece(&mut self, element: &Element, bytes: &[u8]) {
        if let Some(tally) = &mut self.tally
            && !tags::is_samples(element.tag)
            && element.length >= 11
        {
            self.scanner.feed(bytes, &mut |token| take(tally, element, &token));
        }
    }

    /// A value is whole; it is given where rules ask for it, its first bytes at least.
    pub fn end(&mut self, element: &Element, value: Option<&[u8]>) {
        if let Some(tally) = &mut self.tally {
            self.scanner.end(&mut |token| take(tally, element, &token));
        }
        if let Some(value) = value {
            self.value(element, value.trim_ascii_end().strip_suffix(b"\0").unwrap_or(value).trim_ascii());
        }
    }

    fn value(&mut self, element: &Element, value: &[u8]) {
        let mut parts = value.split(|byte| *byte == b'\\').map(<[u8]>::trim_ascii);
        let any_of = |words: &[&[u8]]| words.contains(&value);
        match element.tag {
            tags::IDENTITY_REMOVED => self.removed |= value == b"YES",
            tags::BURNED_IN => self.burned_in = Some(value == b"YES" || self.burned_in == Some(true)),
            tags::MODALITY => {
                self.text_in_pixels |= any_of(&TEXT_IN_PIXELS);
                self.section |= any_of(&[b"CT", b"MR"]);
            }
            tags::SOP_CLASS => self.text_in_pixels |= value == ENCAPSULATED_PDF,
            tags::IMAGE_TYPE => self.text_in_pixels |= parts.any(|part| part == b"LABEL"),
            tags::BODY_PART => self.head |= any_of(&[b"HEAD", b"BRAIN", b"FACE", b"SKULL", b"HEADNECK", b"NECK"]),
            // The codes of methods stand in a sequence of their own; elsewhere these codes mean nothing else.
            tags::CODE_VALUE => {
                self.pixels_cleaned |= value == PIXELS_CLEANED;
                self.faces_cleaned |= value == FACES_CLEANED;
            }
            tags::PATIENT_NAME | tags::PATIENT_ID => {
                let bad = match &self.policy.pseudonym {
                    Some(_) => !value.is_empty() && !self.policy.is_pseudonym(value),
                    // Without a pattern only a name in its parts is told from a pseudonym.
                    None => element.tag == tags::PATIENT_NAME && value.contains(&b'^'),
                };
                let name = tags::name(element.tag).unwrap_or_default();
                if bad && !self.no_pseudonym.contains(&name) {
                    if self.no_pseudonym.is_empty() {
                        self.no_pseudonym_at = element.start;
                    }
                    self.no_pseudonym.push(name);
                }
            }
            tag => {
                if let Some(name) = tags::name(tag)
                    && !value.is_empty()
                    && !self.policy.is_pseudonym(value)
                    && !self.filled.contains(&name)
                {
                    if self.filled.is_empty() {
                        self.filled_at = element.start;
                    }
                    self.filled.push(name);
                }
            }
        }
    }

    /// Tells what was seen, if it is of interest to the agreement.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        let Some(tally) = &mut self.tally else { return };
        tally.finish(sink);
        let mut tell = |class, offset, message: String| sink.notice(Notice { class, offset, message });
        let held = Class::NotDeidentified;
        if !self.removed {
            tell(held, None, "the file does not say that the patient's identity was removed (0012,0062)".into());
        }
        if !self.no_pseudonym.is_empty() {
            let what = if self.policy.pseudonym.is_some() {
                "not of the agreement's pseudonym form"
            } else {
                "a person's name"
            };
            tell(held, Some(self.no_pseudonym_at), format!("{}: {what}", self.no_pseudonym.join(", ")));
        }
        if !self.filled.is_empty() {
            let more = self.filled.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let shown: Vec<&str> = self.filled.iter().take(SHOWN).copied().collect();
            tell(held, Some(self.filled_at), format!("not empty: {}{more}", shown.join(", ")));
        }
        if !self.policy.private_elements {
            let (group, element) = (self.first_private >> 16, self.first_private & 0xffff);
            self.private.tell(held, sink, format!("private elements, the first is ({group:04x},{element:04x})"));
        }
        let mut tell = |class, message: &str| sink.notice(Notice { class, offset: None, message: message.into() });
        if self.burned_in == Some(true) {
            tell(held, "the file says that text is burnt into its pixels (0028,0301)");
        } else if self.text_in_pixels && !self.pixels_cleaned && self.burned_in.is_none() {
            tell(
                held,
                "a kind of picture into which devices write text, and no claim that pixels were cleaned (113101)",
            );
        }
        if self.section && self.head && !self.faces_cleaned {
            tell(Class::Irregular, "a head in sections without a claim that faces were made unrecognisable (113102)");
        }
    }
}

fn take(tally: &mut Tally, element: &Element, token: &Token) {
    let (group, number) = (element.tag >> 16, element.tag & 0xffff);
    let tag = format!("({group:04x},{number:04x})");
    let place = match tags::name(element.tag) {
        Some(name) => tally.place(&format!("{name} {tag}"), element.tag >> 16 == 0x0010),
        None => tally.place(&tag, false),
    };
    tally.take(place, &token.digits, element.start + token.offset);
}
