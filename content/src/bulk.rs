//! FHIR Bulk Data: the files of an export, and the manifest that says which they are.
//!
//! Readers say of each file what it has ([`Bulk`]); once all have come, [`Export`] compares. Names count first. What no name brings
//! together, as whoever downloads may name files anew, is compared by type.

use crate::reader::Notice;
use sluse_protocol::finding::Class;
use std::collections::BTreeMap;

/// Files that a manifest names; one with more is not compared.
pub const MAX_OUTPUTS: usize = 4096;

/// Types of resources in a file; those of others count as having none.
pub const MAX_TYPES: usize = 64;

/// Bytes of the name of a type.
pub const MAX_TYPE_BYTES: usize = 64;

/// Bytes of the name of a file.
pub const MAX_FILE_BYTES: usize = 255;

/// Manifests of a transfer that are compared; files, types in them and files that manifests name, each of some 400 bytes.
const MAX_MANIFESTS: usize = 64;
const MAX_ENTRIES: usize = 100_000;

/// What one file is to an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bulk {
    /// Resources: how many of each type. What has none counts under no name.
    Resources(BTreeMap<String, u64>),
    /// The manifest: what it names.
    Manifest(Vec<Output>),
}

/// A file that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The type of its resources.
    pub of: String,
    /// The last part of its address.
    pub file: String,
    /// How many resources are said to be in it.
    pub count: Option<u64>,
}

/// Whether `name` may be the type of a resource, and so be shown.
pub fn is_type(name: &str) -> bool {
    name.len() <= MAX_TYPE_BYTES
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|letter| letter.is_ascii_alphabetic())
}

/// The files of a transfer, as far as they belong to exports.
#[derive(Debug, Default)]
pub struct Exports {
    files: BTreeMap<String, BTreeMap<String, u64>>,
    manifests: BTreeMap<String, Vec<Output>>,
    entries: usize,
    /// Whether there is more than is kept.
    too_many: bool,
}

impl Exports {
    /// Takes what a file of this path is.
    pub fn take(&mut self, path: &str, bulk: Bulk) {
        self.entries += match &bulk {
            Bulk::Resources(of) => 1 + of.len(),
            Bulk::Manifest(outputs) => 1 + outputs.len(),
        };
        self.too_many |= self.entries > MAX_ENTRIES;
        match bulk {
            Bulk::Resources(_) if self.too_many => {}
            Bulk::Resources(of) => drop(self.files.insert(path.into(), of)),
            Bulk::Manifest(_) if self.manifests.len() >= MAX_MANIFESTS => self.too_many = true,
            // It is kept all the same: of it is told that there are too many.
            Bulk::Manifest(_) if self.too_many => drop(self.manifests.insert(path.into(), Vec::new())),
            Bulk::Manifest(outputs) => drop(self.manifests.insert(path.into(), outputs)),
        }
    }

    /// What does not agree, with the path of the file of which it is said.
    pub fn judge(&self) -> Vec<(String, Notice)> {
        if self.too_many {
            let message = "the transfer has more files than are compared with manifests";
            let told = |path: &String| (path.clone(), notice(Class::NotInspected, message));
            return self.manifests.keys().map(told).collect();
        }
        let mut exports: BTreeMap<&String, Files<'_>> =
            self.manifests.keys().map(|path| (path, Files::new())).collect();
        for (path, resources) in &self.files {
            if let Some(files) = self.manifest_of(path).and_then(|manifest| exports.get_mut(manifest)) {
                files.insert(path, resources);
            }
        }
        let mut told = Vec::new();
        for ((manifest, files), outputs) in exports.into_iter().zip(self.manifests.values()) {
            Comparison { manifest, told: &mut told }.compare(outputs, files);
        }
        told
    }

    /// The manifest to which a file belongs: the one of the innermost folder.
    fn manifest_of(&self, file: &str) -> Option<&String> {
        let holds = |manifest: &&String| file.starts_with(folder(manifest));
        self.manifests.keys().filter(holds).max_by_key(|manifest| folder(manifest).len())
    }
}

/// A path's folder, with its slash.
fn folder(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |slash| slash + 1)]
}

fn notice(class: Class, message: impl Into<String>) -> Notice {
    Notice { class, offset: None, message: message.into() }
}

type Files<'a> = BTreeMap<&'a String, &'a BTreeMap<String, u64>>;

/// One manifest beside its files.
struct Comparison<'a> {
    manifest: &'a str,
    told: &'a mut Vec<(String, Notice)>,
}

/// Files of one type that no name brings together.
#[derive(Default)]
struct Rest<'a> {
    named: u64,
    /// Resources that are stated; none where one of the files has no count.
    stated: Option<u64>,
    files: Vec<&'a String>,
    came: u64,
}

impl Comparison<'_> {
    fn compare(&mut self, outputs: &[Output], mut files: Files<'_>) {
        let mut rest = BTreeMap::<&str, Rest<'_>>::new();
        let mut by_name = BTreeMap::<&str, Vec<&String>>::new();
        for path in files.keys().rev() {
            by_name.entry(path.rsplit('/').next().unwrap_or_default()).or_default().push(path);
        }
        for output in outputs {
            let path = by_name.get_mut(output.file.as_str()).and_then(Vec::pop);
            if let Some((path, resources)) = path.and_then(|path| files.remove_entry(path)) {
                self.named(output, path, resources);
            } else {
                let none = || Rest { stated: Some(0), ..Rest::default() };
                let rest = rest.entry(&output.of).or_insert_with(none);
                rest.named += 1;
                rest.stated = rest.stated.zip(output.count).map(|(sum, count)| sum.saturating_add(count));
            }
        }
        for (path, resources) in files {
            let of = resources.keys().next().map_or("", String::as_str);
            let rest = rest.entry(of).or_default();
            rest.came += resources.get(of).copied().unwrap_or(0);
            rest.files.push(path);
        }
        for (of, rest) in rest {
            self.by_type(of, &rest);
        }
    }

    /// A file that came under the name that the manifest has.
    fn named(&mut self, output: &Output, path: &str, resources: &BTreeMap<String, u64>) {
        let others: u64 = resources.iter().filter(|(of, _)| **of != output.of).map(|(_, count)| count).sum();
        let of = shown(&output.of);
        if others > 0 {
            let message = format!("{others} resources in it are not of the type {of}, as its manifest says");
            self.tell(path, Class::Malformed, message);
        }
        let came: u64 = resources.values().sum();
        if let Some(count) = output.count.filter(|count| *count != came) {
            let message = format!("it has {came} resources, and its manifest says {count}");
            self.tell(path, Class::Malformed, message);
        }
    }

    fn by_type(&mut self, of: &str, rest: &Rest<'_>) {
        let (named, came) = (rest.named, rest.files.len() as u64);
        let (manifest, shown) = (self.manifest.to_owned(), shown(of));
        match rest.stated {
            _ if named == 0 => {
                for path in &rest.files {
                    self.tell(path, Class::Irregular, "its manifest does not name it".into());
                }
            }
            Some(stated) if stated != rest.came => {
                let message = format!(
                    "of the type {shown} it names {stated} resources in {named} files; {} in {came} files came",
                    rest.came
                );
                self.tell(&manifest, Class::Malformed, message);
            }
            None if named > came => {
                let message = format!("of the type {shown} it names {named} files; {came} came");
                self.tell(&manifest, Class::Malformed, message);
            }
            _ => {}
        }
    }

    fn tell(&mut self, path: &str, class: Class, message: String) {
        self.told.push((path.to_owned(), notice(class, message)));
    }
}

/// A type, if it may be shown.
fn shown(of: &str) -> &str {
    if is_type(of) { of } else { "(no type of FHIR)" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(of: &str, file: &str, count: Option<u64>) -> Output {
        Output { of: of.into(), file: file.into(), count }
    }

    fn resources(of: &[(&str, u64)]) -> Bulk {
        Bulk::Resources(of.iter().map(|(of, count)| ((*of).to_owned(), *count)).collect())
    }

    /// What is told of files with these resources, and manifests with these outputs.
    fn judge(manifests: &[(&str, &[Output])], files: &[(&str, &[(&str, u64)])]) -> Vec<(String, Class, String)> {
        let mut exports = Exports::default();
        files.iter().for_each(|(path, of)| exports.take(path, resources(of)));
        manifests.iter().for_each(|(path, outputs)| exports.take(path, Bulk::Manifest(outputs.to_vec())));
        exports.judge().into_iter().map(|(path, notice)| (path, notice.class, notice.message)).collect()
    }

    fn told(path: &str, class: Class, message: &str) -> (String, Class, String) {
        (path.into(), class, message.into())
    }

    #[test]
    fn files_are_compared_by_their_names() {
        let outputs = [output("Patient", "Patient.000.ndjson", Some(3)), output("Group", "Group.000.ndjson", None)];
        let manifest = [("x/manifest.json", &outputs[..])];
        let group: (&str, &[(&str, u64)]) = ("x/Group.000.ndjson", &[("Group", 1)]);
        let patient = "x/Patient.000.ndjson";
        assert_eq!(judge(&manifest, &[group, (patient, &[("Patient", 3)])]), []);
        let fewer = told(patient, Class::Malformed, "it has 2 resources, and its manifest says 3");
        assert_eq!(judge(&manifest, &[group, (patient, &[("Patient", 2)])]), [fewer]);
        let other = "1 resources in it are not of the type Patient, as its manifest says";
        let mixed: &[(&str, u64)] = &[("Patient", 2), ("Practitioner", 1)];
        assert_eq!(judge(&manifest, &[group, (patient, mixed)]), [told(patient, Class::Malformed, other)]);
        let missing = "of the type Patient it names 3 resources in 1 files; 0 in 0 files came";
        assert_eq!(judge(&manifest, &[group]), [told("x/manifest.json", Class::Malformed, missing)]);
        let missing = "of the type Group it names 1 files; 0 came";
        let only = [(patient, &[("Patient", 3)][..])];
        assert_eq!(judge(&manifest, &only), [told("x/manifest.json", Class::Malformed, missing)]);
        let superfluous = told("x/more.ndjson", Class::Irregular, "its manifest does not name it");
        let all = [group, (patient, &[("Patient", 3)][..]), ("x/more.ndjson", &[("Device", 1)])];
        assert_eq!(judge(&manifest, &all), [superfluous]);
    }

    #[test]
    fn files_that_were_named_anew_are_compared_by_their_types() {
        let outputs = [output("Patient", "1", Some(3)), output("Patient", "2", Some(4)), output("Device", "3", None)];
        let manifest = [("manifest.json", &outputs[..])];
        let device: (&str, &[(&str, u64)]) = ("d.ndjson", &[("Device", 9)]);
        assert_eq!(judge(&manifest, &[device, ("p.ndjson", &[("Patient", 7)])]), []);
        let message = "of the type Patient it names 7 resources in 2 files; 3 in 1 files came";
        let fewer = judge(&manifest, &[device, ("p.ndjson", &[("Patient", 3)])]);
        assert_eq!(fewer, [told("manifest.json", Class::Malformed, message)]);
    }

    #[test]
    fn a_file_belongs_to_the_manifest_of_its_innermost_folder() {
        let (outer, inner) = ([output("Patient", "a.ndjson", None)], [output("Patient", "a.ndjson", Some(1))]);
        let manifests = [("m.json", &outer[..]), ("x/m.json", &inner[..])];
        let files: [(&str, &[(&str, u64)]); 2] = [("a.ndjson", &[("Patient", 5)]), ("x/y/a.ndjson", &[("Patient", 1)])];
        assert_eq!(judge(&manifests, &files), []);
        // Where there is none, nothing is said.
        assert_eq!(judge(&[], &files), []);
    }

    #[test]
    fn nothing_is_shown_that_may_be_a_value_and_more_files_than_are_kept_are_told() {
        let outputs = [output("02013299997", "02013299997.ndjson", None)];
        let told = judge(&[("m.json", &outputs)], &[]);
        assert!(told[0].2.contains("(no type of FHIR)") && !told[0].2.contains("0201"), "{told:?}");
        let mut exports = Exports::default();
        exports.take("m.json", Bulk::Manifest(Vec::new()));
        (0..MAX_ENTRIES).for_each(|file| exports.take(&format!("{file}"), resources(&[])));
        assert_eq!(exports.judge()[0].1.class, Class::NotInspected);
    }
}
