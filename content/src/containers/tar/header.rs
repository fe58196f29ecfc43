//! One header block of a tar archive, and pax's records.

/// Bytes of a block.
pub(in super::super) const BLOCK: usize = 512;

/// The largest size that the old field holds, twelve octal digits less one.
pub(super) const LARGEST: u64 = 0o77_777_777_777;

/// What a header block says.
pub(super) struct Header {
    pub kind: u8,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub size: u64,
    /// More of a sparse file's map follows (GNU).
    pub extended: bool,
}

impl Header {
    /// Reads a block; none when its checksum or its size is not one.
    pub fn read(block: &[u8; BLOCK]) -> Option<Self> {
        if !checksum_agrees(block) {
            return None;
        }
        let mut name = until_nul(&block[..100]).to_vec();
        // POSIX's mark is followed by NUL; GNU's has no prefix field.
        if block[257..263] == *b"ustar\0" {
            let prefix = until_nul(&block[345..500]);
            if !prefix.is_empty() {
                name = [prefix, b"/", &name].concat();
            }
        }
        // Before POSIX a folder was a file whose name ends with a slash.
        let kind = if block[156] == 0 && name.ends_with(b"/") { b'5' } else { block[156] };
        let (link, size) = (until_nul(&block[157..257]).to_vec(), number(&block[124..136])?);
        Some(Self { kind, name, link, size, extended: block[482] != 0 })
    }
}

/// Whether a stream that begins so is a tar archive.
pub(in super::super) fn begins(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>().is_some_and(|block| block[0] != 0 && checksum_agrees(block))
        || head.get(257..262) == Some(b"ustar")
}

/// The checksum counts its own field as spaces; some old writers took bytes as signed.
fn checksum_agrees(block: &[u8; BLOCK]) -> bool {
    let Some(stated) = number(&block[148..156]) else { return false };
    let field = 148..156;
    let bytes = || block.iter().enumerate().map(|(place, byte)| if field.contains(&place) { b' ' } else { *byte });
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
    stated == unsigned || i64::try_from(stated) == Ok(signed)
}

/// Octal digits between spaces and NULs, or GNU's binary form.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, digits @ ..] = field {
        let (high, low) = digits.split_at(digits.len().checked_sub(8)?);
        let low = u64::from_be_bytes(*low.first_chunk()?);
        return (high.iter().all(|byte| *byte == 0) && low <= i64::MAX as u64).then_some(low);
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// Bytes that fill content up to a whole block.
pub(super) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// What pax's records say of the next entry, or of all.
#[derive(Default, Clone)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub sparse: bool,
    any: bool,
}

impl Pax {
    /// Reads records, each `length key=value\n`; none when one is not so.
    pub fn read(mut body: &[u8]) -> Option<Self> {
        let mut pax = Self { any: true, ..Self::default() };
        while !body.is_empty() {
            let space = body.iter().take(20).position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&body[..space]).ok()?.parse().ok()?;
            let record = body.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            pax.take(&record[..equals], &record[equals + 1..])?;
            body = &body[length..];
        }
        Some(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" | b"GNU.sparse.name" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
            _ => {}
        }
        self.sparse |= key.starts_with(b"GNU.sparse.");
        Some(())
    }

    pub fn is_empty(&self) -> bool {
        !self.any
    }

    /// These records, and where they say nothing those of `global`.
    pub fn over(self, global: &Self) -> Self {
        Self {
            path: self.path.or_else(|| global.path.clone()),
            link: self.link.or_else(|| global.link.clone()),
            size: self.size.or(global.size),
            sparse: self.sparse || global.sparse,
            any: self.any || global.any,
        }
    }
}
