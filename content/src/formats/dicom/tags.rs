//! The tags that matter here (PS3.6), and what they are called.

pub const PIXEL_DATA: u32 = 0x7fe0_0010;
pub const ITEM: u32 = 0xfffe_e000;
pub const ITEM_END: u32 = 0xfffe_e00d;
pub const SEQUENCE_END: u32 = 0xfffe_e0dd;

pub const GROUP_LENGTH: u32 = 0x0002_0000;
pub const TRANSFER_SYNTAX: u32 = 0x0002_0010;
pub const MEDIA_CLASS: u32 = 0x0002_0002;
pub const IMAGE_TYPE: u32 = 0x0008_0008;
pub const SOP_CLASS: u32 = 0x0008_0016;
pub const SOP_INSTANCE: u32 = 0x0008_0018;
pub const MODALITY: u32 = 0x0008_0060;
pub const CODE_VALUE: u32 = 0x0008_0100;
pub const PATIENT_NAME: u32 = 0x0010_0010;
pub const PATIENT_ID: u32 = 0x0010_0020;
pub const IDENTITY_REMOVED: u32 = 0x0012_0062;
pub const DEIDENTIFICATION_METHOD: u32 = 0x0012_0063;
pub const BODY_PART: u32 = 0x0018_0015;
pub const STUDY_UID: u32 = 0x0020_000d;
pub const BURNED_IN: u32 = 0x0028_0301;

/// Elements that a de-identified file leaves empty (PS3.15 annex E has them and more).
pub const EMPTY: &[(u32, &str)] = &[
    (0x0008_0050, "AccessionNumber"),
    (0x0008_0080, "InstitutionName"),
    (0x0008_0081, "InstitutionAddress"),
    (0x0008_0090, "ReferringPhysicianName"),
    (0x0008_0092, "ReferringPhysicianAddress"),
    (0x0008_0094, "ReferringPhysicianTelephoneNumbers"),
    (0x0008_1048, "PhysiciansOfRecord"),
    (0x0008_1050, "PerformingPhysicianName"),
    (0x0008_1060, "NameOfPhysiciansReadingStudy"),
    (0x0008_1070, "OperatorsName"),
    (0x0010_0030, "PatientBirthDate"),
    (0x0010_0032, "PatientBirthTime"),
    (0x0010_1000, "OtherPatientIDs"),
    (0x0010_1001, "OtherPatientNames"),
    (0x0010_1005, "PatientBirthName"),
    (0x0010_1040, "PatientAddress"),
    (0x0010_1060, "PatientMotherBirthName"),
    (0x0010_2154, "PatientTelephoneNumbers"),
    (0x0010_2297, "ResponsiblePerson"),
];

/// The name of an element whose value is looked at.
pub fn name(tag: u32) -> Option<&'static str> {
    let known = [(PATIENT_NAME, "PatientName"), (PATIENT_ID, "PatientID")];
    known.iter().chain(EMPTY).find(|(one, _)| *one == tag).map(|(_, name)| *name)
}

/// Whether values are read, not only scanned: those that rules ask for.
pub fn is_read(tag: u32) -> bool {
    matches!(
        tag,
        GROUP_LENGTH
            | TRANSFER_SYNTAX
            | MEDIA_CLASS
            | IMAGE_TYPE
            | SOP_CLASS
            | SOP_INSTANCE
            | MODALITY
            | CODE_VALUE
            | PATIENT_NAME
            | PATIENT_ID
            | IDENTITY_REMOVED
            | DEIDENTIFICATION_METHOD
            | BODY_PART
            | STUDY_UID
            | BURNED_IN
    ) || EMPTY.iter().any(|(one, _)| *one == tag)
}

/// Whether a representation has two unused bytes and a length of four (PS3.5 section 7.1.2).
pub fn has_long_length(vr: [u8; 2]) -> bool {
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"].contains(&&vr)
}

/// Whether a vendor defines it.
pub fn is_private(tag: u32) -> bool {
    (tag >> 16) % 2 == 1
}

/// Whether it holds samples of pictures, overlays, curves or waveforms, in which no text stands.
pub fn is_samples(tag: u32) -> bool {
    let group = tag >> 16;
    group == 0x7fe0 || (0x6000..=0x60ff).contains(&group) && tag & 0xffff == 0x3000 || tag == 0x5400_1010
}
