//! What was noticed of members' types, which counts or not by what they are members of: a picture in a spreadsheet is a part of it.

use crate::reader::{Notice, Sink};
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;

/// Notices of one container's members that are kept; beyond them, the first of each class.
const MAX_KEPT: usize = 32;

/// What was noticed, with the type of the member.
#[derive(Default)]
pub struct Doubts(Vec<(Option<FileType>, Notice)>);

impl Doubts {
    /// Whether what is of this class depends on where a member lies.
    pub fn are_of(class: Class) -> bool {
        matches!(class, Class::TypeNotAllowed | Class::TypeUnknown | Class::TypeMismatch)
    }

    /// Adds what was noticed of a member of this type.
    pub fn add(&mut self, of: Option<FileType>, notice: Notice) {
        if self.0.len() < MAX_KEPT || !self.0.iter().any(|(_, kept)| kept.class == notice.class) {
            self.0.push((of, notice));
        }
    }

    /// Adds those of another member.
    pub fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|(of, notice)| self.add(of, notice));
    }

    /// Tells all of them: nothing holds what they are of.
    pub fn tell(self, sink: &mut dyn Sink) {
        self.0.into_iter().for_each(|(_, notice)| sink.notice(notice));
    }

    /// Tells what is no part of a container of this type.
    pub fn judge(self, container: Option<FileType>, sink: &mut dyn Sink) {
        let foreign = self.0.into_iter().filter(|(of, _)| !container.is_some_and(|container| is_part(container, *of)));
        foreign.for_each(|(_, notice)| sink.notice(notice));
    }
}

/// Whether a member of this type is a part of which a file of type `container` is made.
fn is_part(container: FileType, member: Option<FileType>) -> bool {
    use FileType::*;
    match container {
        // Fonts, printers' settings and metafiles are of no type that is known here.
        Xlsx | Docx | Pptx | Ods | Odt | Odp => {
            matches!(member, None | Some(Xml | Svg | Text | Png | Jpeg | Gif | Bmp | Tiff | Webp))
        }
        // These are compressed blocks of themselves.
        Bam | Bcf | GenomicIndex => member == Some(container),
        // What stands in a text is a part of it, whatever it is.
        Xml | Svg | Html | Json | Ndjson => true,
        _ => false,
    }
}
