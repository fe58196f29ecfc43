//! What was noticed of members' types, which counts or not by what they are members of: a picture in a spreadsheet is a part of it.

use crate::reader::{Notice, Sink};
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;

/// Notices of one container's members that are kept. Beyond them the first of each class for each type of member is, of which
/// there are finitely many, and the others are counted with it: what a container makes of them depends on these two alone.
const MAX_KEPT: usize = 32;

/// What was noticed of members' types.
#[derive(Default)]
pub struct Doubts(Vec<Doubt>);

/// What was noticed of members of one type.
struct Doubt {
    of: Option<FileType>,
    notice: Notice,
    /// Others of the same class and type that are not kept.
    more: u64,
}

impl Doubts {
    /// Whether what is of this class depends on where a member lies.
    pub fn are_of(class: Class) -> bool {
        matches!(class, Class::TypeNotAllowed | Class::TypeUnknown | Class::TypeMismatch)
    }

    /// Adds what was noticed of a member of this type.
    pub fn add(&mut self, of: Option<FileType>, notice: Notice) {
        self.take(Doubt { of, notice, more: 0 });
    }

    fn take(&mut self, doubt: Doubt) {
        let full = self.0.len() >= MAX_KEPT;
        let mut kept = self.0.iter_mut();
        match kept.find(|kept| full && kept.of == doubt.of && kept.notice.class == doubt.notice.class) {
            Some(kept) => kept.more += 1 + doubt.more,
            None => self.0.push(doubt),
        }
    }

    /// Adds those of another member.
    pub fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|doubt| self.take(doubt));
    }

    /// Tells all of them: nothing holds what they are of.
    pub fn tell(self, sink: &mut dyn Sink) {
        self.0.into_iter().for_each(|doubt| doubt.tell(sink));
    }

    /// Tells what is no part of a container of this type.
    pub fn judge(self, container: Option<FileType>, sink: &mut dyn Sink) {
        let is_foreign = |doubt: &Doubt| !container.is_some_and(|container| is_part(container, doubt.of));
        self.0.into_iter().filter(is_foreign).for_each(|doubt| doubt.tell(sink));
    }
}

impl Doubt {
    fn tell(self, sink: &mut dyn Sink) {
        let Self { of, notice, more } = self;
        let class = notice.class;
        sink.notice(notice);
        if more > 0 {
            let of = of.map_or("no known type", FileType::as_str);
            let message = format!("{more} more members of {of} within it, of which the same is to be said");
            sink.notice(Notice { class, offset: None, message });
        }
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
        Xml | Svg | Html | Json | Ndjson | Mail => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(class: Class) -> Notice {
        Notice { class, offset: None, message: "x".into() }
    }

    fn told(doubts: Doubts, container: FileType) -> Vec<Notice> {
        let mut told = Vec::new();
        doubts.judge(Some(container), &mut told);
        told
    }

    #[test]
    fn parts_do_not_crowd_out_what_is_none() {
        let mut doubts = Doubts::default();
        for _ in 0..1000 {
            doubts.add(Some(FileType::Png), notice(Class::TypeNotAllowed));
        }
        doubts.add(Some(FileType::Pdf), notice(Class::TypeNotAllowed));
        doubts.add(Some(FileType::Pdf), notice(Class::TypeMismatch));
        let told = told(doubts, FileType::Xlsx);
        assert_eq!(told, [notice(Class::TypeNotAllowed), notice(Class::TypeMismatch)]);
    }

    #[test]
    fn what_is_not_kept_is_counted_and_no_more_is_kept_than_there_are_types() {
        let mut all = Doubts::default();
        for _ in 0..1000 {
            let mut doubts = Doubts::default();
            for of in FileType::ALL {
                doubts.add(Some(*of), notice(Class::TypeNotAllowed));
            }
            all.extend(doubts);
        }
        assert!(all.0.len() <= MAX_KEPT + FileType::ALL.len(), "{}", all.0.len());
        let count: u64 = all.0.iter().map(|doubt| 1 + doubt.more).sum();
        assert_eq!(count, 1000 * FileType::ALL.len() as u64);
        let told = told(all, FileType::Zip);
        assert!(told.iter().any(|notice| notice.message.starts_with("999 more members of pdf")), "{told:?}");
        assert!(told.iter().all(|notice| notice.class == Class::TypeNotAllowed));
    }
}
